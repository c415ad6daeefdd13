"""How much of a sweep is still to be trained."""

import pytest

from runner.objective import Objective
from runner.sweep.record.rounds import FinalRound, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.space import Interval, Space
from runner.sweep.strategy.plan import Plan
from runner.sweep.strategy.remaining import epochs_left


def plan(*rounds, epochs=8, **settings):
    space = Space({"lr": Interval(1e-3, 1.0, "log")})
    given = {"num_finalists": 0, **settings}
    return Plan(SweepSettings(**given), space, [RoundPlan(*one) for one in rounds], epochs, Objective("a", "max"))


def trial(number, status, round_=0, epochs=4, half_score=None):
    return TrialRecord(number, round_, {}, None, epochs, "", status=status, half_score=half_score)


def search(index, num_trials, epochs=4):
    return SearchRound(index=index, epochs=epochs, num_trials=num_trials)


def test_before_it_begins_all_rounds_and_the_finals_are_left():
    whole = plan((10, 2), (5, 4), num_finalists=2, num_final_seeds=3)
    assert epochs_left(whole, [], []) == 10 * 2 + 5 * 4 + 2 * 3 * 8


def test_ended_trials_are_done_whatever_their_end_and_those_not_queued_are_left():
    own = [trial(n, status) for n, status in enumerate(["finished", "failed", "diverged", "pruned", "queued"])]
    assert epochs_left(plan((7, 4)), [search(0, 7)], own) == 3 * 4


def test_running_trials_have_trained_a_part():
    own = [trial(0, "started"), trial(1, "started"), trial(2, "queued")]
    assert epochs_left(plan((3, 4)), [search(0, 3)], own, fraction=0.25) == 3 + 3 + 4


def test_a_task_without_epochs_counts_trials():
    assert epochs_left(plan((3, None), epochs=None, num_finalists=1), [], []) == 3 + 1 * 3


def test_finals_that_have_begun_are_left_by_their_trials():
    whole = plan((1, 4), num_finalists=2)
    final = FinalRound(index=1, epochs=8, num_trials=4, points=[{}, {}], seeds=[1, 2])
    own = [trial(0, "finished"), trial(1, "finished", 1, 8), trial(2, "queued", 1, 8)]
    assert epochs_left(whole, [search(0, 1), final], own) == 3 * 8


@pytest.mark.parametrize(
    ("one", "left"),
    [
        (trial(0, "queued"), 3.0),  # half, then one of two goes on
        (trial(0, "waiting", half_score=0.5), 1.0),
        (trial(0, "started", half_score=0.5), 2.0),  # of the better half, with 2 of 4 epochs behind it
    ],
)
def test_successive_halving_lets_one_of_two_go_on(one, left):
    fraction = 0.5 if one.status == "started" else 0.0
    assert epochs_left(plan((1, 4), pruner="halving"), [search(0, 1)], [one], fraction) == left
    assert epochs_left(plan((1, 4), pruner="halving"), [], []) == 3.0
