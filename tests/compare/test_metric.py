"""Which metrics runs have, and the objective that they share."""

import json

import pytest

from runner.compare.difference import check_keys, covered
from runner.compare.metric import check_metric, metric_names, shared_objective
from runner.errors import UserError
from runner.store.run_index import find_runs


@pytest.fixture
def runs(write_run, tmp_path):
    """`runs(a, b)` are runs with these objectives."""

    def write(*objectives):
        for number, objective in enumerate(objectives):
            path = write_run(f"r{number}", [0.7, 0.8])
            record = json.loads((path / "run.json").read_text())
            (path / "run.json").write_text(json.dumps(record | {"objective": objective}))
        return find_runs([tmp_path])[0]

    return write


def objective(name, mode):
    return {"name": name, "mode": mode, "value": 0.5, "epoch": 1}


def test_a_metric_is_known_by_the_record_or_by_an_epoch(runs, tmp_path):
    found = runs(objective("val/loss", "min"))
    assert metric_names(found) == {"lr", "val/accuracy", "val/loss", "images_per_second"}
    check_metric(found, "val/accuracy")
    with pytest.raises(UserError, match=r"^--metric val/acuracy: no run has this metric; did you mean 'val/accuracy'"):
        check_metric(found, "val/acuracy")
    with (tmp_path / "r0/metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "mine": 0.5}\n')
    check_metric(find_runs([tmp_path])[0], "mine")


def test_without_an_objective_it_is_the_default(runs):
    assert shared_objective(runs(None), "val/accuracy") == ("val/accuracy", None)


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        ([("val/loss", "min"), ("val/loss", "min")], ("val/loss", "min")),
        ([("val/loss", "min"), ("train/loss", "min")], ("val/accuracy", None)),
        ([("val/loss", "min"), ("val/loss", "max")], ("val/accuracy", None)),
        ([("mine", "up")], ("mine", None)),
    ],
)
def test_runs_of_several_objectives_have_none_in_common(runs, objectives, expected):
    assert shared_objective(runs(*(objective(*one) for one in objectives)), "val/accuracy") == expected


def test_keys_that_no_run_has_are_refused(runs):
    found = runs(None)
    check_keys(found, ["optimizer", "optimizer.lr", "status", "name"], "--by")
    with pytest.raises(UserError, match=r"^--by optimizer.lrr: no run has such a key; did you mean 'optimizer.lr'"):
        check_keys(found, ["optimizer.lrr"], "--by")


def test_a_key_below_one_that_is_ignored_is_ignored():
    assert [covered(key, {"log", "a.b"}) for key in ("log", "log.progress", "logs", "a", "a.b", "a.b.c", "a.bc")] == [
        *(True, True, False, False),
        *(True, True, False),
    ]
