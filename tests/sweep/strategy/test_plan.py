"""What a sweep runs next, from coarse to fine."""

import json
import math

import pytest

from runner.errors import UserError
from runner.objective import Objective
from runner.sweep.record.rounds import read_rounds
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.space.space import Categorical, Interval, Space
from runner.sweep.strategy.halving import better_half

MAX, MIN = Objective("val/accuracy", "max"), Objective("val/loss", "min")


@pytest.mark.parametrize(("mode", "sign"), [("max", -1), ("min", 1)])
def test_later_rounds_close_in_on_the_optimum_in_either_direction(mode, sign, plan, run, distance):
    begun, trials = run(plan(mode=mode), lambda point: sign * distance(point))
    first, second = begun
    assert second.ranges["lr"]["high"] / second.ranges["lr"]["low"] < 1e4
    assert second.ranges["lr"]["low"] < 10**-2.5 < second.ranges["lr"]["high"]
    best = rank(trials.values(), Objective("score", mode))[0]
    assert best.round == 1
    assert abs(best.score) == min(abs(trial.score) for trial in trials.values())
    assert (first.num_trials, first.epochs, second.num_trials, second.epochs) == (12, 2, 8, 6)


def test_the_best_of_a_round_runs_again_first_in_the_next(plan, run, distance):
    _, trials = run(plan(), lambda point: -distance(point))
    first = [trial for trial in trials.values() if trial.round == 0]
    second = [trial for trial in trials.values() if trial.round == 1]
    assert second[0].point == rank(first, MAX)[0].point


def test_a_fifth_of_later_points_comes_from_the_whole_space(plan, run):
    space = Space({"lr": Interval(1e-5, 1e-1, "log")})
    begun, trials = run(plan(space=space, rounds=((30, 2), (40, 2))), lambda p: -abs(math.log10(float(p["lr"])) + 3))
    low, high = (begun[1].ranges["lr"][bound] for bound in ("low", "high"))
    outside = [trial for trial in trials.values() if trial.round == 1 and not low <= float(trial.point["lr"]) <= high]
    assert 3 <= len(outside) <= 8, "of the 8 from the whole space, two thirds lie outside the narrow one"


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_any_share_of_later_points_may_come_from_the_whole_space(share, plan, run, distance):
    begun, trials = run(plan(rounds=((40, 1), (41, 1)), explore_fraction=share, seed=1), lambda point: -distance(point))
    narrow, whole = (made.ranges for made in begun[::-1])
    second = [trial.point for trial in trials.values() if trial.round == 1][1:]
    inside = [all(narrow[key]["low"] <= float(point[key]) <= narrow[key]["high"] for key in point) for point in second]
    width = {key: [math.log10(made[key]["high"] / made[key]["low"]) for made in (narrow, whole)] for key in narrow}
    part = math.prod(one / other for one, other in width.values())  # of the whole space, which the narrow one takes
    assert sum(inside) / len(inside) == pytest.approx(1 - share + share * part, abs=0.1)


def test_what_diverged_or_failed_is_never_chosen(plan, run, distance):
    def status(point):
        return "diverged" if float(point["lr"]) > 1e-3 else "finished"

    begun, _ = run(plan(num_finalists=2), lambda point: -distance(point), status)
    finals = begun[-1]
    assert finals.kind == "finals"
    assert all(float(point["lr"]) <= 1e-3 for point in finals.points)


def test_a_round_without_any_success_leaves_the_space_as_it_was(plan, run):
    begun, _ = run(plan(num_finalists=2), lambda point: 0.0, lambda point: "failed")
    assert [round_.kind for round_ in begun] == ["search", "search"]
    assert begun[1].ranges == begun[0].ranges


def test_the_finals_run_the_best_points_on_the_same_fresh_seeds(plan, run, distance):
    begun, trials = run(plan(num_finalists=2, num_final_seeds=3), lambda point: -distance(point))
    finals = [trial for trial in trials.values() if trial.round == begun[-1].index]
    assert len(finals) == 6
    assert len({trial.seed for trial in finals}) == 3
    longest = [trial for trial in trials.values() if trial.round == 1]
    assert begun[-1].points == [trial.point for trial in rank(longest, MAX)[:2]]
    assert begun[-1].epochs == 20


def test_more_points_begin_with_those_that_ran(plan, run, distance):
    few, many = plan(rounds=((12, 2),)), plan(rounds=((20, 2),))
    (round_,), _ = run(few, lambda point: -distance(point))
    fewer = few.suggestions(round_)
    many.lengthen([round_])
    assert round_.num_trials == 20
    assert many.suggestions(round_)[:12] == fewer


def test_a_choice_that_wins_is_drawn_more_often(plan, run):
    space = Space({"o": Categorical(("a", "b", "c")), "lr": Interval(1e-5, 1e-1, "log")})
    begun, _ = run(plan(space=space, rounds=((30, 1), (30, 1))), lambda point: 1.0 * (point["o"] == "b"))
    shares = begun[1].ranges["o"]["options"]
    assert shares["b"] > 0.9


def test_a_finite_space_is_halved_instead_of_drawn_anew(plan, run):
    space = Space({"o": Categorical(("a", "b", "c", "d", "e", "f"))})
    begun, trials = run(plan(space=space, rounds=((24, 1), (12, 2))), lambda point: -ord(point["o"]))
    assert (begun[0].num_trials, begun[1].num_trials) == (6, 2)
    assert [trial.point for trial in trials.values() if trial.round == 1] == [{"o": "a"}, {"o": "b"}]


def test_coordinate_search_moves_one_key_at_a_time_and_holds_the_others_at_their_best(plan, run, distance):
    begun, trials = run(plan(strategy="coordinate", rounds=((12, 2), (12, 4))), lambda point: -distance(point))
    assert [round_.strategy["key"] for round_ in begun] == ["lr", "wd", "lr", "wd"]
    second = [trial.point for trial in trials.values() if trial.round == 1]
    best = min((trial for trial in trials.values() if trial.round == 0), key=lambda t: -t.score)
    assert {point["lr"] for point in second} == {best.point["lr"]}
    assert len({point["wd"] for point in second}) == 6
    assert begun[2].ranges["lr"]["low"] > 1e-5, "the second pass is narrower"


def test_ties_go_to_the_earlier_trial_and_trials_without_a_score_are_left_out():
    trials = [
        TrialRecord(number, 0, {}, None, 1, "", status="finished", score=score)
        for number, score in enumerate([0.5, 0.9, 0.9, None])
    ]
    assert [trial.trial for trial in rank(trials, MAX)] == [1, 2, 0]
    assert [trial.trial for trial in rank(trials, MIN)] == [0, 1, 2]


def test_halving_keeps_the_better_half_by_the_score_at_half_the_epochs():
    trials = [
        TrialRecord(number, 0, {}, None, 4, "", status="waiting", half_score=score)
        for number, score in enumerate([3, 1, 2, 5, 4])
    ]
    kept, pruned = better_half(trials, MIN)
    assert ({trial.trial for trial in kept}, {trial.trial for trial in pruned}) == ({1, 2, 0}, {3, 4})


def test_a_round_is_the_same_when_read_back_from_json(plan, run, distance):
    begun, _ = run(plan(num_finalists=1), lambda point: -distance(point))
    back = read_rounds(json.loads(json.dumps([round_.to_json() for round_ in begun])))
    assert back == begun
    assert [plan().suggestions(round_) for round_ in back] == [plan().suggestions(round_) for round_ in begun]


def test_a_damaged_round_is_one_line():
    with pytest.raises(UserError, match=r"sweep\.json: its rounds cannot be read .*; restore the file from a copy"):
        read_rounds([{"kind": "search", "index": 0}])
