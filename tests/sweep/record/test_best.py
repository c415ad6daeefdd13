"""The runs that a sweep's answer rests on."""

import pytest

from runner.errors import UserError
from runner.sweep.record.best import best_runs
from runner.sweep.space.space import Interval

SPACE = {"lr": Interval(0.0, 1.0)}
SEARCHED = [({"lr": "0.1"}, 0.5, "finished"), ({"lr": "0.2"}, 0.4, "finished")]


def names(paths):
    return [path.name for path in paths]


def test_without_finals_it_is_the_best_trial(write_sweep):
    sweep = write_sweep([SPACE], [SEARCHED])
    sweep.folder.update(best={"trial": 0})
    assert best_runs(sweep.folder) == [sweep.folder.trial(0)]


def test_with_finals_it_is_those_of_the_winner_that_finished(write_sweep):
    finals = [
        ({"lr": "0.1"}, 0.5, "finished"),
        ({"lr": "0.1"}, 0.6, "finished"),
        ({"lr": "0.1"}, None, "failed"),
        ({"lr": "0.2"}, 0.4, "finished"),
    ]
    sweep = write_sweep([SPACE], [SEARCHED, finals], finals=[{"lr": "0.1"}, {"lr": "0.2"}])
    sweep.folder.update(best={"trial": 2})
    assert names(best_runs(sweep.folder)) == ["0002", "0003"]


def test_where_nothing_finished_there_is_no_answer(write_sweep):
    sweep = write_sweep([SPACE], [SEARCHED])
    sweep.folder.update(best=None)
    with pytest.raises(UserError, match=rf"^{sweep.folder.path}: no trial has finished$"):
        best_runs(sweep.folder)
