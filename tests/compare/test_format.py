"""A table of runs as text: its columns, the rule beneath it, and what other programs read."""

import csv
import io
import json

import pytest

from runner.compare import format as form
from runner.compare.table import tabulate
from runner.objective import Objective
from runner.store.annotations import write_annotations
from runner.store.run_index import find_runs

ADAM = {"optimizer": "adam"}


@pytest.fixture
def table(tmp_path):
    """The table of all runs written so far."""

    def make(name="val/accuracy", mode="max", by=()):
        runs, _ = find_runs([tmp_path])
        return tabulate(runs, Objective(name, mode), by, {"name", "output_dir", "log", "tags", "note"})

    return make


@pytest.fixture
def pair(write_run):
    """Three seeds of sgd, and three of adam that are worse."""
    for seed, value in enumerate([0.90, 0.92, 0.91]):
        write_run(f"a{seed}", [0.1, value], seed=seed)
        write_run(f"b{seed}", [0.1, value - 0.1], seed=seed, choices=ADAM)


def column(table, name):
    return next(column.cells for column in form.columns(table, table.rows) if column.name == name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.91, "0.9100"),
        (0.0, "0.0000"),
        (0.001, "0.0010"),
        (0.00099, "0.00099"),
        (-0.5, "-0.5000"),
        (-1e-5, "-1e-05"),
        (9999.9, "9999.9000"),
        (1e4, "1e+04"),
        (float("nan"), "-"),
    ],
)
def test_scores_have_four_digits_unless_they_are_very_small_or_large(write_run, table, value, text):
    write_run("a", [value])
    assert column(table(), "val/accuracy") == [text]


def test_a_row_is_told_by_what_differs_among_those_that_are_shown(write_run, table):
    for number, (optimizer, lr, batch) in enumerate([("sgd", 0.1, 32), ("adam", 0.1, 32), ("adam", 0.2, 64)]):
        keys = {"optimizer.lr": lr, "data.batch_size": batch}
        write_run(f"run{number}", [0.9 - 0.1 * number], choices={"optimizer": optimizer}, **keys)
    compared = table()
    by_all = {"optimizer=adam", "optimizer.lr=0.1", "data.batch_size=32"}
    assert set(form.labels(compared, compared.rows)[1].split()) == by_all
    assert form.labels(compared, compared.rows[:2]) == ["optimizer=sgd", "optimizer=adam"]
    assert form.labels(compared, compared.rows[:1]) == ["all runs"]


def test_the_columns_in_their_order(pair, table):
    found = form.columns(table(), table().rows)
    assert [column.name for column in found] == [
        *("", "optimizer", "val/accuracy", "±95%", "std", "n", "status", "epochs", "time", "images/s", "folder")
    ]
    assert [column.right for column in found] == [False, False, *[True] * 4, False, *[True] * 3, False]
    assert column(table(), "") == ["*", ""]
    # Student's t of two degrees of freedom is 4.3027; the standard deviation is 0.01.
    assert column(table(), "±95%") == ["0.0248", "0.0248"]
    assert column(table(), "std") == ["0.0100", "0.0100"]
    assert column(table(), "epochs") == ["2", "2"]
    assert column(table(), "time") == ["2.0 s", "2.0 s"]
    assert column(table(), "images/s") == ["1,500", "1,500"]
    assert column(table(), "folder") == ["a1", "b1"]


def test_without_repeats_nothing_is_said_of_their_spread(write_run, table):
    write_run("a", [0.9])
    write_run("b", [0.8], choices=ADAM)
    names = [column.name for column in form.columns(table(), table().rows)]
    assert "std" not in names
    assert "±95%" not in names
    assert column(table(), "") == ["*", "?"]


def test_settings_are_written_as_on_the_command_line(write_run, table):
    write_run(
        "a", **{"optimizer.lr": 1e-7, "model.hidden": [8, 8], "model.norm": "batch", "engine.clip_grad_norm": None}
    )
    write_run("b", **{"optimizer.lr": 1 / 3, "model.hidden": [8], "model.norm": "none", "engine.clip_grad_norm": True})
    write_run("c", **{"optimizer.lr": 3, "model.hidden": []})
    found = table(by=["optimizer.lr", "model.hidden", "model.norm", "engine.clip_grad_norm"])
    rows = {row.best_run.path.name: index for index, row in enumerate(found.rows)}
    for name, expected in {
        "optimizer.lr": ["1e-07", "0.333333", "3"],
        "model.hidden": ["[8,8]", "[8]", "[]"],
        "model.norm": ["batch", "none", "-"],
        "engine.clip_grad_norm": ["null", "true", "-"],
    }.items():
        assert [column(found, name)[rows[run]] for run in "abc"] == expected
    label = form.labels(found, found.rows)[rows["b"]]
    assert label == "optimizer.lr=0.333333 model.hidden=[8] model.norm=none engine.clip_grad_norm=true"


def test_the_status_is_kept_where_not_all_have_finished(write_run, table):
    def rank():
        return next(column.rank for column in form.columns(table(), table().rows) if column.name == "status")

    write_run("a")
    assert rank() == form.MORE
    write_run("b", choices=ADAM, status="failed")
    assert rank() == form.COUNTS


def test_a_heading_is_broken_at_its_last_dot():
    assert form.Column("reg.l2.strength", ["1"], 0).heading == "reg.l2.\nstrength"
    assert form.Column("reg.l2.strength", ["1"], 0).width == len("strength")
    assert form.Column("n", ["1", "100"], 0).width == 3


def test_what_tells_rows_apart_is_kept_longest(write_run, table):
    for index, (option, lr, norm) in enumerate(
        [("sgd", 0.1, "a"), ("sgd", 0.2, "a"), ("adam", 0.1, "b"), ("adam", 0.3, "b")]
    ):
        write_run(
            f"r{index}",
            [0.5 + index / 10],
            choices={"optimizer": option},
            **{"optimizer.lr": lr, "optimizer.eps": norm, "model.norm": norm},
        )
    found = table()
    ranks = {column.name: column.rank for column in form.columns(found, found.rows)}
    assert ranks["optimizer"] == form.GROUPS
    assert ranks["optimizer.lr"] == form.KEYS
    assert "optimizer.eps" not in ranks  # two options, two rows each, and one value an option
    assert "left out, for they follow from the others: optimizer.eps" in form.notes(found, found.rows)
    assert ranks["model.norm"] == form.CONSTANT  # the same, but of another group: somebody may have set it
    shown = [row for row in found.rows if row.settings["optimizer"] == "adam"]
    ranks = {column.name: column.rank for column in form.columns(found, shown)}
    assert ranks["optimizer"] == form.CONSTANT


def test_the_rule_says_how_the_signs_were_decided(pair, write_run, table):
    text = "* best mean val/accuracy (max); = not distinguishable from it "
    assert form.rule(table()) == f"{text}(paired t test over runs alike in seed; alpha 0.05); ±95%: Student's t"
    write_run("c", [0.5], seed=9, choices={"optimizer": "muon"})
    assert "; ? nothing can be said: one value only, in this row or the best; add seeds" in form.rule(table())
    for seed in (7, 8):
        write_run(f"d{seed}", [0.5 + seed / 100], seed=seed, choices={"optimizer": "nesterov"})
    assert "(paired t test over runs alike in seed, Welch's where fewer than two are; alpha 0.05, Holm over 2" in (
        form.rule(table())
    )


def test_the_rule_of_unpaired_rows_is_welchs(write_run, table):
    for seed in range(2):
        write_run(f"a{seed}", [0.9 + seed / 100], seed=seed)
        write_run(f"b{seed}", [0.5 + seed / 100], seed=seed + 5, choices=ADAM)
    assert "(Welch's t test; alpha 0.05)" in form.rule(table())


def test_before_a_run_has_finished_the_rule_says_so(write_run, table):
    write_run("a", [0.9], status="running")
    assert form.rule(table()) == (
        "no finished run has a value of val/accuracy yet; values in brackets are of runs that may go on"
    )
    assert column(table(), "val/accuracy") == ["(0.9000)"]
    assert column(table(), "status") == ["running"]


def test_notes_say_what_else_one_must_know(write_run, table):
    write_run("a0", [0.9], **{"optimizer.lr": 0.1})
    assert form.notes(table(), table().rows) == ["nothing differs between these runs"]
    write_run("a1", [0.8], seed=1, **{"optimizer.lr": 0.1})
    assert form.notes(table(), table().rows) == ["nothing differs between these runs but the seed"]
    write_run("b", [0.8], status="running", choices=ADAM, **{"optimizer.lr": 0.2})
    found = table(by=["optimizer"])
    assert form.notes(found, found.rows[:1]) == ["1 more rows (--limit)"]
    assert form.notes(found, found.rows) == ["values in brackets are of runs that have not finished; they do not count"]
    write_run("c", [0.8], **{"optimizer.lr": 0.3})
    found = table(by=["optimizer"])
    assert "within rows there also vary: optimizer.lr" in form.notes(found, found.rows)
    found.num_searches = 1
    assert form.notes(found, found.rows)[0].startswith("1 search trial left out: the finals ran the best of them")
    found.num_searches = 2
    assert form.notes(found, found.rows)[0].startswith("2 search trials left out")
    found.rows[0].ranked = False
    assert form.notes(found, found.rows)[1].startswith("search trials have no sign")


def test_the_title_counts(pair, write_run, table, tmp_path):
    assert form.title(table()) == "6 runs in 2 rows"
    runs, _ = find_runs([tmp_path / "a0"])
    assert form.title(tabulate(runs, Objective("val/accuracy", "max"))) == "1 run in 1 row"


def test_folders_are_given_from_where_one_is(pair, table, tmp_path, monkeypatch):
    rows = table().rows
    assert form.folder_of(rows[0]) == str(tmp_path / "a1")
    assert form.shared_folder(rows) == str(tmp_path)
    assert form.shared_folder(rows[:1]) == ""
    monkeypatch.chdir(tmp_path)
    assert form.folder_of(rows[0]) == "a1"
    assert form.shared_folder(rows) == ""
    monkeypatch.chdir(tmp_path.parent)
    assert form.folder_of(rows[0]) == f"{tmp_path.name}/a1"


def test_json_has_every_run_and_full_precision(pair, table):
    best, worse = json.loads(form.as_json(table(), table().rows))
    assert (best["metric"], best["mode"], best["verdict"]) == ("val/accuracy", "max", "best")
    assert best["keys"] == {"optimizer": "sgd"}
    assert best["status"] == {"finished": 3}
    assert best["runs"][1] == {"folder": best["folder"], "seed": 1, "status": "finished"} | {"value": 0.92, "epochs": 2}
    assert worse["p_value"] < 0.05


def test_csv_leaves_empty_what_is_not_known(write_run, table):
    write_run("a", [1 / 3], **{"model.hidden": [8, 8]})
    write_run("b", [0.25], choices=ADAM, **{"model.hidden": None})
    first, second = csv.DictReader(io.StringIO(form.as_csv(table(), table().rows)))
    assert list(first)[:5] == ["verdict", "optimizer", "model.hidden", "metric", "mode"]
    assert (first["verdict"], first["model.hidden"], first["mean"]) == ("best", "[8,8]", str(1 / 3))
    assert (second["optimizer"], second["model.hidden"], second["std"], second["p_value"]) == ("adam", "", "", "")


def test_markdown_escapes_what_it_would_read(write_run, table):
    write_run("a", [0.9], **{"model.name": "a|b"})
    write_run("b", [0.8], **{"model.name": "plain"})
    lines = form.as_markdown(table(), table().rows).splitlines()
    assert lines[0].startswith("|  | model.name | val/accuracy | n | status |")
    assert lines[1].startswith("| --- | --- | ---: | ---: | --- |")
    assert lines[2].startswith(r"| **\*** | **a\|b** | **0.9000** | **1** |")
    assert lines[3].startswith("| ? | plain | 0.8000 | 1 |")
    assert lines[4] == ""
    assert lines[5].startswith(r"2 runs in 2 rows; \* best mean val/accuracy (max)")


def test_labels_name_only_what_separates_the_rows_shown(write_run, table):
    for index, (lr, width) in enumerate([(0.1, 8), (0.2, 8), (0.3, 16)]):
        write_run(f"r{index}", [0.9 - index / 10], **{"optimizer.lr": lr, "model.width": width})
    found = table()
    assert form.labels(found, found.rows[:2]) == ["optimizer.lr=0.1", "optimizer.lr=0.2"]
    assert form.labels(found, found.rows)[2] == "optimizer.lr=0.3 model.width=16"


def test_tags_and_notes_have_a_column_each(write_run, table):
    write_run("a", [0.5], **{"optimizer.lr": 0.1})
    path = write_run("b", [0.6], **{"optimizer.lr": 0.2})
    assert "tags" not in {column.name for column in form.columns(table(), table().rows)}
    write_annotations(path, ["baseline", "kept"], "too slow")
    found = table()
    assert column(found, "tags") == ["baseline kept", ""]
    assert column(found, "note") == ["too slow", ""]


def test_the_fewest_columns_that_tell_all_rows_apart_are_found():
    def made(*columns):
        return [form.Column(name, list(cells), rank) for name, cells, rank in columns]

    columns = made(
        ("", "*??", form.FIXED), ("a", "112", form.GROUPS), ("b", "123", form.KEYS), ("n", "123", form.COUNTS)
    )
    assert form.separating(columns) == [2]
    columns = made(("a", "1122", form.GROUPS), ("b", "1212", form.KEYS), ("c", "3333", form.KEYS))
    assert form.separating(columns) == [0, 1]


def test_a_row_of_several_runs_has_each_tag_once_and_every_note(write_run, table):
    for seed, tags, note in ((0, ["a", "b"], "first try"), (1, ["b", "c"], "second try"), (2, ["a"], "first try")):
        write_annotations(write_run(f"run{seed}", seed=seed), tags=tags, note=note)
    (row,) = table().rows
    assert form._annotation(row, "tags") == "a b c"
    assert form._annotation(row, "note") == "first try; second try"


def test_two_repeats_have_a_spread_and_one_has_none(table, write_run):
    def names():
        made = table()
        return {column.name for column in form.columns(made, made.rows)}

    write_run("a", [0.5, 0.8], seed=0)
    assert not {"±95%", "std"} & names()
    write_run("b", [0.5, 0.9], seed=1)
    assert {"±95%", "std"} <= names()
