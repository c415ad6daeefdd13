"""Tables of runs: what differs, what is a repeat, which is best, and which runs meet a condition."""

import pytest

from runner.compare.difference import differences
from runner.compare.filter import where
from runner.compare.format import notes
from runner.compare.table import fields, sort_rows, status_text, tabulate
from runner.errors import UserError
from runner.objective import Objective, direction
from runner.store.run_index import find_runs

ADAM = {"optimizer": "adam"}


@pytest.fixture
def table(tmp_path):
    """The table of all runs written so far."""

    def make(metric="val/accuracy", mode="max", by=(), conditions=()):
        runs = where(find_runs([tmp_path])[0], conditions)
        return tabulate(runs, Objective(metric, mode), by, {"name", "output_dir", "log"})

    return make


@pytest.fixture
def keys(tmp_path):
    """The keys in which the runs written so far differ; implied ones in brackets."""

    def make():
        found = differences(find_runs([tmp_path])[0], {"name", "output_dir", "log"})
        return [f"({d.key})" if d.implied else d.key for d in found]

    return make


def rows(table):
    return [(*row.settings.values(), row.estimate.n, row.verdict) for row in table.rows]


def test_only_what_differs_is_shown_and_never_what_changes_no_result(write_run, keys):
    write_run("a", **{"optimizer.lr": 0.1, "log.progress": "none", "name": "x", "model.hidden": [8, 8]})
    write_run("b", **{"optimizer.lr": 0.2, "log.progress": "auto", "name": "y", "model.hidden": [8, 8]})
    assert keys() == ["optimizer.lr"]
    write_run("c", **{"model.hidden": [8]}, seed=3)
    assert keys() == ["seed", "optimizer.lr", "model.hidden"]


def test_a_group_is_shown_by_its_option_and_its_own_keys_where_they_differ(write_run, keys):
    write_run("a")
    adam = {"optimizer._target_": "runner.optimizer.adam", "optimizer.betas": [0.9, 0.999]}
    write_run("b", choices=ADAM, **adam)
    assert keys() == ["optimizer"]
    write_run("c", choices=ADAM, **adam | {"optimizer.betas": [0.8, 0.999]})
    assert keys() == ["optimizer", "optimizer.betas"]


def test_a_key_that_the_option_decides_is_told_apart(write_run, keys):
    write_run("a")
    write_run("b", choices=ADAM, **{"optimizer.lr": 0.001})
    assert keys() == ["optimizer", "(optimizer.lr)"]
    write_run("c", choices=ADAM, **{"optimizer.lr": 0.01})
    assert keys() == ["optimizer", "optimizer.lr"]


def test_another_class_under_the_same_option_is_a_difference(write_run, keys):
    write_run("a")
    write_run("b", **{"optimizer._target_": "mine.Optimizer"})
    assert keys() == ["optimizer._target_"]


def test_a_lacking_key_differs_from_a_value_but_not_from_null(write_run, keys):
    write_run("a")
    write_run("b", **{"engine.clip_grad_norm": None})
    assert keys() == []
    write_run("c", **{"engine.clip_grad_norm": 1.0})
    assert keys() == ["engine.clip_grad_norm"]


def test_whole_numbers_equal_their_floats_but_not_true(write_run, keys):
    write_run("a", **{"optimizer.lr": 1})
    write_run("b", **{"optimizer.lr": 1.0})
    assert keys() == []
    write_run("c", **{"optimizer.lr": True})
    assert keys() == ["optimizer.lr"]


def test_an_experiment_is_told_by_what_it_sets(write_run, keys):
    write_run("a", choices={"experiment": "quick"})
    write_run("b")
    assert keys() == []


def test_runs_that_differ_in_seed_alone_are_one_row(write_run, table):
    for seed, value in enumerate([0.90, 0.92, 0.91]):
        write_run(f"a{seed}", [0.1, value], seed=seed)
        write_run(f"b{seed}", [0.1, value - 0.1], seed=seed, choices=ADAM)
    assert rows(table()) == [("sgd", 3, "best"), ("adam", 3, "worse")]
    estimate = table().rows[0].estimate
    assert (estimate.mean, estimate.std) == (pytest.approx(0.91), pytest.approx(0.01))
    assert table().ranking.paired != []


def test_folds_are_repeats_as_seeds_are_and_it_is_said(write_run, table):
    for fold, value in enumerate([0.90, 0.92, 0.91]):
        write_run(f"a{fold}", [0.1, value], **{"data.folds": 3, "data.fold": fold})
        write_run(f"b{fold}", [0.1, value - 0.1], choices=ADAM, **{"data.folds": 3, "data.fold": fold})
    write_run("whole", [0.1, 0.5], **{"data.folds": None, "data.fold": 0})
    made = table()
    assert made.varying == ["data.fold"]
    assert {row.estimate.n: round(row.estimate.mean, 6) for row in made.rows if row.settings["optimizer"] == "sgd"} == {
        3: 0.91,
        1: 0.5,
    }
    assert made.ranking.paired
    told = notes(made, made.rows)
    assert told[0].startswith("folds of cross-validation (data.fold) count as seeds do, each a value of n")
    assert not any("also vary" in line for line in told)


def test_folds_of_two_seeds_are_six_values(write_run, table):
    for seed in (0, 1):
        for fold in range(3):
            write_run(
                f"a{seed}{fold}", [0.9 + fold / 100 + seed / 1000], seed=seed, **{"data.folds": 3, "data.fold": fold}
            )
    (row,) = table().rows
    assert row.estimate.n == 6


def test_a_seed_trained_twice_counts_once(write_run, table):
    write_run("a", [0.8], seed=0)
    write_run("b", [0.9], seed=0)
    write_run("c", [0.7], seed=1)
    (row,) = table().rows
    assert sorted(row.samples.values()) == [0.7, pytest.approx(0.85)]
    assert len(row.runs) == 3
    assert "n is below the number of runs: those alike in seed count once" in notes(table(), table().rows)[0]


def test_by_groups_by_these_keys_alone_and_pairs_what_is_alike_in_the_others(write_run, table):
    for lr, base in ((0.1, 0.9), (0.2, 0.7), (0.3, 0.5)):
        write_run(f"a{lr}", [base], **{"optimizer.lr": lr})
        write_run(f"b{lr}", [base - 0.01 - lr / 100], choices=ADAM, **{"optimizer.lr": lr})
    assert [row.estimate.n for row in table().rows] == [1] * 6
    by = table(by=["optimizer"])
    assert rows(by) == [("sgd", 3, "best"), ("adam", 3, "worse")]  # unpaired, the spread over lr would hide it
    assert by.varying == ["optimizer.lr"]
    assert rows(table(by=["reg"])) == [("none", 6, "best")]


def test_runs_that_have_not_finished_never_count(write_run, table):
    for seed, status in enumerate(["finished", "finished", "diverged", "running", "failed", "interrupted"]):
        write_run(f"a{seed}", [0.9 if status == "finished" else 0.99], seed=seed, status=status)
    (row,) = table().rows
    assert (row.estimate.mean, row.estimate.n, row.interim) == (0.9, 2, None)
    assert status_text(row) == "2 finished, 1 diverged, 1 failed, 1 interrupted, 1 running"
    assert row.best_run.status == "finished"


def test_rows_without_a_finished_run_come_last_with_their_value_so_far(write_run, table):
    write_run("a", [0.99], status="running", choices=ADAM)
    write_run("b", [0.999], status="diverged", choices={"optimizer": "muon"})
    write_run("c", [0.5])
    assert rows(table()) == [("sgd", 1, "best"), ("adam", 0, ""), ("muon", 0, "")]
    assert [row.interim for row in table().rows] == [None, 0.99, None]


def test_a_finished_run_without_the_metric_does_not_count(write_run, table):
    write_run("a", [None], seed=0)
    write_run("b", [0.5], seed=1)
    (row,) = table().rows
    assert (row.estimate.n, len(row.runs)) == (1, 2)


def test_one_seed_says_nothing(write_run, table):
    write_run("a", [0.9])
    write_run("b", [0.9], choices=ADAM)
    assert rows(table()) == [("sgd", 1, "best"), ("adam", 1, "unknown")]
    assert fields(table().rows[1], "x")["p_value"] is None


def test_least_is_best_for_losses(write_run, table):
    write_run("a", [0.9, 0.5])
    write_run("b", [0.8, 0.8], choices=ADAM)
    loss = table("val/loss", "min")
    assert [(row.settings["optimizer"], row.estimate.mean) for row in loss.rows] == [
        ("sgd", pytest.approx(0.1)),
        ("adam", pytest.approx(0.2)),
    ]
    assert (direction("val/loss"), direction("train/accuracy"), direction("lr")) == ("min", "max", None)


def test_the_folder_is_that_of_the_best_run(write_run, table):
    write_run("a", [0.8], seed=0)
    best = write_run("b", [0.9], seed=1)
    assert table().rows[0].best_run.path == best
    assert table("val/loss", "max").rows[0].best_run.path != best


CONDITIONS = [
    ("optimizer.lr<1e-2", "b"),
    ("optimizer.lr <= 0.1", "abc"),
    ("optimizer.lr=.1", "ac"),
    ("optimizer.lr==1e-1", "ac"),
    ("optimizer.lr!=0.1", "b"),
    ("optimizer=adam", "b"),
    ("optimizer!=adam", "ac"),
    ("status=finished", "ab"),
    ("val/accuracy>=0.9", "bc"),
    ("val/loss<0.15", "b"),
    ("reg=[l2,dropout]", "c"),
    ("reg=l2,dropout", "c"),
    ("model.hidden=[8,8]", "a"),
    ("model.hidden!=[8]", "a"),  # b and c lack it
    ("engine.clip_grad_norm=null", "a"),
    ("seed>1", "c"),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
def test_conditions(write_run, tmp_path, condition, expected):
    write_run("a", [0.8], **{"model.hidden": [8, 8], "engine.clip_grad_norm": None})
    write_run("b", [0.9], choices=ADAM, seed=1, **{"optimizer.lr": 0.001, "engine.clip_grad_norm": 1})
    write_run("c", [0.9, 0.5], choices={"reg": "l2,dropout"}, seed=2, status="diverged")
    (tmp_path / "c/run.json").write_text((tmp_path / "c/run.json").read_text().replace("val/loss", "other"))
    (tmp_path / "c/metrics.jsonl").unlink()  # its loss is not known
    runs, _ = find_runs([tmp_path])
    assert "".join(run.path.name for run in where(runs, [condition])) == expected


def test_all_conditions_hold_at_once(write_run, tmp_path):
    write_run("a", [0.8])
    write_run("b", [0.9], seed=1)
    runs, _ = find_runs([tmp_path])
    assert [run.path.name for run in where(runs, ["optimizer=sgd", "seed=1"])] == ["b"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("optimizer.lrr<1", "optimizer.lrr: no run has such a key; did you mean 'optimizer.lr'?"),
        ("optimizr=sgd", "optimizr: no run has such a key; did you mean 'optimizer'?"),
        ("val/acuracy>0.5", "did you mean 'val/accuracy'?"),
        ("zzz=1", "zzz: no run has such a key; see runner options"),
        ("optimizer", "not a condition; write KEY OP VALUE"),
        ("optimizer=", "not a condition"),
        ("optimizer<sgd", "< compares numbers, and 'sgd' is none"),
    ],
)
def test_a_wrong_condition_is_named(write_run, tmp_path, condition, message):
    write_run("a")
    with pytest.raises(UserError) as error:
        where(find_runs([tmp_path])[0], [condition])
    assert message in str(error.value)
    assert str(error.value).startswith("--where ")


def test_rows_are_sorted_by_any_column_with_missing_values_last(write_run, table):
    write_run("a", [0.7], **{"optimizer.lr": 0.2})
    write_run("b", [0.9], **{"optimizer.lr": 0.1})
    write_run("c", [0.8], **{"optimizer.lr": 0.3}, status="failed")
    found = table()

    def order(key):
        return [row.settings["optimizer.lr"] for row in sort_rows(found, key, lambda row: "")]

    assert order("optimizer.lr") == [0.1, 0.2, 0.3]
    assert order("-optimizer.lr") == [0.3, 0.2, 0.1]
    assert order("val/accuracy") == order("mean") == [0.2, 0.1, 0.3]
    assert order("-val/accuracy") == [0.1, 0.2, 0.3]
    assert [row.settings["optimizer.lr"] for row in sort_rows(found, "seconds", lambda row: "")] == order("epochs")
    with pytest.raises(UserError, match=r"--sort optimizer\.l: no such column; did you mean 'optimizer.lr'"):
        order("optimizer.l")


def test_a_column_of_numbers_and_words_has_the_numbers_first(write_run, table):
    for number, value in enumerate([16, "many", 8.5, "few", None]):
        write_run(f"a{number}", [0.5], **{"model.width": value})
    for key, expected in {"model.width": [8.5, 16, "few", "many", None]}.items():
        assert [row.settings[key] for row in sort_rows(table(), key, lambda row: "")] == expected
        backwards = [row.settings[key] for row in sort_rows(table(), f"-{key}", lambda row: "")]
        assert backwards == ["many", "few", 16, 8.5, None]


def test_fields_are_plain_data_and_null_where_nothing_is_known(write_run, table):
    for seed, value in enumerate([0.90, 0.92]):
        write_run(f"a{seed}", [0.5, value], seed=seed)
    write_run("b", [0.7], status="interrupted", choices=ADAM)
    best, rest = (fields(row, "here") for row in table().rows)
    assert list(best)[:3] == ["verdict", "status", "n"]
    # Student's t of one degree of freedom is 12.7062; the standard deviation of two values is their distance / sqrt 2.
    assert best == {
        "verdict": "best",
        "status": "finished",
        "n": 2,
        "mean": pytest.approx(0.91),
        "std": pytest.approx(0.02 / 2**0.5),
        "ci_low": pytest.approx(0.91 - 12.7062 * 0.01, rel=1e-4),
        "ci_high": pytest.approx(0.91 + 12.7062 * 0.01, rel=1e-4),
        "p_value": None,
        "interim": None,
        "epochs": 2,
        "seconds": 2.0,
        "images_per_second": 1500.0,
        "folder": "here",
    }
    assert (rest["verdict"], rest["n"], rest["mean"], rest["interim"]) == ("", 0, None, 0.7)


def test_means_of_epochs_and_seconds_are_of_finished_runs_where_there_are_any(write_run, table):
    write_run("a", [0.5, 0.6], seed=0, **{"engine.epochs": 4})
    write_run("b", [0.5, 0.6, 0.7, 0.8], seed=1, **{"engine.epochs": 4})
    write_run("c", [0.5], seed=2, status="failed", **{"engine.epochs": 4})
    assert table().rows[0].epochs == 3
    assert table(conditions=["seed=2"]).rows[0].epochs == 1


def test_runs_outside_the_ranking_are_shown_without_a_verdict(write_run, tmp_path):
    write_run("a", [0.9])
    write_run("b", [0.99], choices=ADAM)
    runs, _ = find_runs([tmp_path])
    outside = [run for run in runs if run.path.name == "b"]
    found = tabulate(runs, Objective("val/accuracy", "max"), unranked=outside)
    assert [(row.settings["optimizer"], row.verdict) for row in found.rows] == [("sgd", "best"), ("adam", "")]
    assert (found.ranking.best, found.ranking.unknown) == ("0", [])
