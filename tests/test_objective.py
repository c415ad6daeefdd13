"""Which way a metric is better."""

import pytest

from runner.objective import Objective, direction


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val/accuracy", "max"),
        ("test/class_accuracy", "max"),
        ("images_per_second", "max"),
        ("val/loss", "min"),
        ("error", "min"),
        ("lr", None),
    ],
)
def test_a_direction_is_read_off_the_name(metric, mode):
    assert direction(metric) == mode


@pytest.mark.parametrize(("mode", "better", "worse"), [("max", 2.0, 1.0), ("min", 1.0, 2.0)])
def test_a_value_beats_a_worse_one_and_none_and_not_its_equal(mode, better, worse):
    objective = Objective("score", mode)
    assert objective.better(better, worse)
    assert not objective.better(worse, better)
    assert not objective.better(better, better)
    assert objective.better(worse, None)
    assert not objective.better(float("nan"), None)
