"""What the strategies write into their rounds, and whom they choose."""

from dataclasses import replace

import pytest

from runner.objective import Objective
from runner.sweep.record.rounds import FinalRound, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.space import Categorical, Interval, Space
from runner.sweep.strategy.coordinate import Coordinate
from runner.sweep.strategy.finals import candidates, final_seeds
from runner.sweep.strategy.halving import better_half, half_epochs
from runner.sweep.strategy.narrow import Narrow

MAX = Objective("score", "max")
LINE = Space({"x": Interval(0.0, 10.0)})


def finished(points, scores, round_=0, epochs=1):
    """Trials of a round that finished, by number."""
    made = [
        TrialRecord(n, round_, point, None, epochs, "", status="finished", score=score)
        for n, (point, score) in enumerate(zip(points, scores, strict=True))
    ]
    return {trial.trial: trial for trial in made}


def first_round(strategy, number, epochs=1):
    return strategy.next_round(0, RoundPlan(number, epochs), [], {})


# ---------------------------------------------------------------------------------------------------------------------
# Narrow


def narrow(space=LINE, **settings):
    return Narrow(SweepSettings(**settings), space, MAX)


def xs(number):
    return [{"x": str(float(n))} for n in range(number)]


@pytest.mark.parametrize(("number", "fraction", "elite"), [(9, 1 / 3, 3), (10, 1 / 3, 4), (4, 0.25, 2), (8, 0.5, 4)])
def test_the_next_round_lies_around_a_share_of_the_last_one_and_around_two_at_the_least(number, fraction, elite):
    made = narrow(elite_fraction=fraction, max_shrink=1000.0)
    begun = first_round(made, number)
    # The best are 5.0, 5.1, 5.2 and so on; all others lie at 2, far from these and from the edges.
    points = [{"x": f"{5 + n / 10:.1f}"} for n in range(elite)] + [{"x": "2"}] * (number - elite)
    trials = finished(points, [1 - n / 100 for n in range(number)])
    found = made.next_round(1, RoundPlan(5, 2), [begun], trials)
    margin = 1.0  # a tenth of the width
    assert found.ranges["x"]["low"] == pytest.approx(5 - margin)
    assert found.ranges["x"]["high"] == pytest.approx(5 + (elite - 1) / 10 + margin)
    assert found.strategy["best"] == {"x": "5.0"}
    assert (found.index, found.epochs, found.num_trials) == (1, 2, 5)


def test_failures_make_the_search_no_less_narrow():
    made = narrow(elite_fraction=0.5, max_shrink=1000.0)
    begun = first_round(made, 8)
    trials = finished([{"x": "5"}, {"x": "5.5"}, {"x": "6"}, {"x": "3"}], [0.9, 0.8, 0.7, 0.1])
    found = made.next_round(1, RoundPlan(5, 2), [begun], trials)  # four of the eight had failed
    assert (found.ranges["x"]["low"], found.ranges["x"]["high"]) == pytest.approx((2, 7))


def test_the_whole_space_is_as_wide_as_ever_searched():
    made = narrow(elite_fraction=0.5)
    begun = [first_round(made, 4)]
    begun.append(made.next_round(1, RoundPlan(4, 1), begun, finished(xs(4), [0.9, 0.1, 0.1, 0.1])))
    assert begun[1].ranges["x"]["low"] == -5.0  # the best was at the lower edge: widened by half the width
    assert begun[1].notes == ["x: the best, 0, is at the lower edge of 0 to 10: widened to -5"]
    assert begun[1].strategy["whole"]["x"] == {"low": -5.0, "high": 10.0, "scale": "linear"}
    whole = made.explored(begun).dimensions["x"]
    assert (whole.low, whole.high) == (-5.0, 10.0)
    assert made.held(begun[1]) is None


def test_a_round_on_a_grid_has_as_many_trials_as_the_grid_has_points():
    made = narrow(Space({"x": Interval(0.0, 1.0), "y": Interval(0.0, 1.0)}), sampler="grid")
    begun = first_round(made, 10)
    assert begun.num_trials == 9
    assert {point["x"] for point in made.points(begun)} == {"0", "0.5", "1"}


def test_of_a_finite_space_the_better_ones_run_again_and_no_more_are_added():
    space = Space({"o": Categorical(tuple("abcdef"))})
    made = narrow(space, elite_fraction=0.5)
    begun = first_round(made, 6)
    trials = finished([{"o": letter} for letter in "abcdef"], [0.1, 0.9, 0.2, 0.8, 0.3, 0.7])
    again = made.next_round(1, RoundPlan(6, 4), [begun], trials)
    assert [point["o"] for point in made.points(again)] == ["b", "d", "f"]
    assert again.num_trials == 3
    assert (made.can_grow(begun), made.can_grow(again)) == (True, False)
    fewer = made.next_round(1, RoundPlan(1, 4), [begun], trials)
    assert [point["o"] for point in made.points(fewer)] == ["b", "d"], "two at the least"


def test_no_point_comes_twice_in_a_round():
    made = narrow(Space({"x": Interval(1, 6, integer=True)}), explore_fraction=0.5)
    begun = first_round(made, 3)
    later = made.next_round(1, RoundPlan(5, 1), [begun], finished([{"x": n} for n in "345"], [0.1, 0.9, 0.2]))
    points = [point["x"] for point in made.points(later)]
    assert points[0] == "4"
    assert len(set(points)) == len(points)


def test_later_points_are_drawn_anew_for_each_round_and_seed():
    one, other = narrow(seed=1), narrow(seed=2)
    begun = first_round(one, 6)
    assert list(one.points(begun)) != list(other.points(begun))
    later = SearchRound(index=1, epochs=1, num_trials=6, ranges=begun.ranges, strategy=begun.strategy)
    assert list(one.points(later)) != list(one.points(begun))


# ---------------------------------------------------------------------------------------------------------------------
# Coordinate

PLANE = Space({"x": Interval(0.0, 10.0), "y": Interval(0.0, 10.0), "z": Interval(0.0, 10.0)})


def coordinate(**settings):
    return Coordinate(SweepSettings(strategy="coordinate", **settings), PLANE, MAX)


def test_a_round_is_divided_among_the_keys_with_two_trials_a_key_at_the_least():
    rounds = [RoundPlan(13, 2), RoundPlan(3, 5)]
    assert coordinate().spread(rounds) == [RoundPlan(4, 2)] * 3 + [RoundPlan(2, 5)] * 3


def test_a_keys_values_are_drawn_anew_at_each_of_its_turns():
    search = coordinate()
    rounds = [
        SearchRound(index=index, epochs=1, num_trials=4, ranges={"x": PLANE.describe()["x"]}, strategy={"held": {}})
        for index in (0, 3)
    ]
    first, later = (list(search.points(round_)) for round_ in rounds)
    assert len(first) == len(later) == 4
    assert first != later
    assert first == list(coordinate().points(rounds[0]))
    assert first != list(coordinate(seed=1).points(rounds[0]))


def test_each_key_has_its_turn_over_its_own_range_while_the_best_of_the_others_is_held():
    made = coordinate()
    first = first_round(made, 4)
    assert (first.strategy, list(first.ranges)) == ({"key": "x", "held": {}}, ["x"])
    assert all(set(point) == {"x"} for point in made.points(first))
    assert len(list(made.points(first))) == 4
    trials = finished([{"x": "3"}, {"x": "4"}, {"x": "5"}, {"x": "6"}], [0.1, 0.9, 0.2, 0.3])
    second = made.next_round(1, RoundPlan(4, 1), [first], trials)
    assert second.strategy == {"key": "y", "held": {"x": "4"}}
    assert second.ranges["y"] == {"low": 0.0, "high": 10.0, "scale": "linear"}
    assert {point["x"] for point in made.points(second)} == {"4"}
    assert made.held(second) == {"x": "4"}
    assert made.can_grow(second)


def test_at_its_second_turn_a_key_is_searched_around_its_own_best():
    made = coordinate(elite_fraction=0.5, max_shrink=1000.0)
    begun = [
        SearchRound(
            index=index,
            epochs=1,
            num_trials=4,
            ranges={key: {"low": 0.0, "high": 10.0, "scale": "linear"}},
            strategy={"key": key, "held": {}},
        )
        for index, key in enumerate("xyz")
    ]
    trials = finished([{"x": "4"}, {"x": "5"}, {"x": "2"}, {"x": "3"}], [0.9, 0.8, 0.1, 0.2])
    trials[4] = TrialRecord(4, 1, {"x": "4", "y": "7"}, None, 1, "", status="finished", score=0.95)
    again = made.next_round(3, RoundPlan(4, 2), begun, trials)
    assert again.strategy == {"key": "x", "held": {"x": "4", "y": "7"}}
    assert (again.ranges["x"]["low"], again.ranges["x"]["high"]) == pytest.approx((3, 6))
    drawn = list(made.points(again))
    assert {point["y"] for point in drawn} == {"7"}
    assert len({point["x"] for point in drawn}) == 4
    trials = finished([{"x": "0.1"}, {"x": "5"}], [0.9, 0.8])
    widened = made.next_round(3, RoundPlan(4, 2), begun, trials)
    assert widened.notes == ["x: the best, 0.1, is at the lower edge of 0 to 10: widened to -5"]
    whole = made.explored([*begun, widened])
    assert {name: (dim.low, dim.high) for name, dim in whole.dimensions.items()} == {
        "x": (-5.0, 10.0),
        "y": (0.0, 10.0),
        "z": (0.0, 10.0),
    }


def test_a_key_whose_trials_all_failed_keeps_its_range():
    made = coordinate()
    begun = [first_round(made, 4)]
    begun += [made.next_round(n, RoundPlan(4, 1), begun[:n], {}) for n in (1,)]
    begun += [made.next_round(2, RoundPlan(4, 1), begun, {})]
    again = made.next_round(3, RoundPlan(4, 1), begun, {})
    assert (again.strategy, again.ranges) == ({"key": "x", "held": {}}, begun[0].ranges)


# ---------------------------------------------------------------------------------------------------------------------
# Finals and halving


def test_trials_of_the_longest_rounds_come_before_better_ones_of_shorter_rounds():
    trials = [
        TrialRecord(0, 0, {"x": "0"}, None, 2, "", status="finished", score=0.9),
        TrialRecord(1, 1, {"x": "1"}, None, 8, "", status="finished", score=0.5),
        TrialRecord(2, 1, {"x": "2"}, None, 8, "", status="finished", score=0.6),
        TrialRecord(3, 2, {"x": "3"}, 1, 20, "", status="finished", score=0.7),  # of finals, which are no search
        TrialRecord(4, 1, {"x": "4"}, None, 8, "", status="failed"),
    ]
    begun = [SearchRound(index=index, epochs=epochs, num_trials=2) for index, epochs in ((0, 2), (1, 8))]
    found = candidates(begun, {trial.trial: trial for trial in trials}, MAX)
    assert [trial.trial for trial in found] == [2, 1, 0]


def test_where_the_task_knows_no_epochs_the_score_alone_counts():
    trials = finished([{"x": "0"}, {"x": "1"}], [0.1, 0.2], epochs=None)
    assert [trial.trial for trial in candidates([first_round(narrow(), 2)], trials, MAX)] == [1, 0]


def test_the_seeds_of_finals_differ_are_short_and_more_begin_with_the_fewer():
    seeds = final_seeds(SweepSettings(seed=3), 20)
    assert len(set(seeds)) == 20
    assert all(0 <= seed < 1_000_000 for seed in seeds)
    assert final_seeds(SweepSettings(seed=3), 5) == seeds[:5]
    assert final_seeds(SweepSettings(seed=4), 5) != seeds[:5]


@pytest.mark.parametrize(("epochs", "half"), [(None, None), (1, None), (2, 1), (3, 1), (8, 4)])
def test_a_round_is_halved_where_it_has_two_epochs_or_more(epochs, half):
    halving, plain = SweepSettings(pruner="halving"), SweepSettings()
    round_ = SearchRound(index=0, epochs=epochs, num_trials=2)
    assert half_epochs(round_, halving) == half
    assert half_epochs(round_, plain) is None
    assert half_epochs(FinalRound(index=0, epochs=8, num_trials=1, points=[], seeds=[]), halving) is None


def test_of_an_odd_number_the_middle_one_goes_on_and_of_equal_ones_the_earlier():
    trials = [TrialRecord(n, 0, {}, None, 4, "", half_score=score) for n, score in enumerate([0.5, None, 0.5, 0.5])]
    kept, pruned = better_half(trials, MAX)
    assert ([trial.trial for trial in kept], [trial.trial for trial in pruned]) == ([0, 2], [3])


# ---------------------------------------------------------------------------------------------------------------------
# The plan


def test_the_search_ends_in_finals_of_different_points_once(plan, run, distance):
    made = plan(rounds=((4, 1),), num_finalists=2, num_final_seeds=3)
    begun, trials = run(made, lambda point: -distance(point))
    final = begun[-1]
    assert (final.kind, final.index, final.epochs, final.num_trials) == ("finals", 1, 20, 6)
    assert len(final.points) == 2
    assert final.points[0] != final.points[1]
    assert made.next_round(begun, trials) is None
    pairs = [(suggestion.seed, suggestion.point) for suggestion in made.suggestions(final)]
    assert pairs == [(seed, point) for seed in final.seeds for point in final.points]


def test_without_finalists_or_without_a_success_there_are_no_finals(plan, run):
    begun, _ = run(plan(rounds=((3, 1),), num_finalists=0), lambda point: 0.5)
    assert [round_.kind for round_ in begun] == ["search"]


def test_finals_that_were_begun_are_given_more_seeds_and_never_fewer(plan, run, distance):
    few = plan(rounds=((4, 1),), num_finalists=2, num_final_seeds=2)
    begun, _ = run(few, lambda point: -distance(point))
    seeds = begun[-1].seeds
    plan(rounds=((3, 1),), num_finalists=2, num_final_seeds=4).lengthen(begun)
    assert (begun[-1].seeds[:2], len(begun[-1].seeds), begun[-1].num_trials) == (seeds, 4, 8)
    assert begun[0].num_trials == 4, "no fewer trials, either"
    few.lengthen(begun)
    assert len(begun[-1].seeds) == 4


def test_of_finals_that_were_run_twice_the_last_are_lengthened(plan, run, distance):
    few = plan(rounds=((4, 1),), num_finalists=2, num_final_seeds=2)
    begun, _ = run(few, lambda point: -distance(point))
    begun.append(replace(begun[-1], index=2))
    plan(rounds=((4, 1),), num_finalists=2, num_final_seeds=4).lengthen(begun)
    assert [len(final.seeds) for final in begun[1:]] == [2, 4]


def test_a_round_with_nothing_to_draw_is_not_lengthened(plan, run):
    space = Space({"o": Categorical(tuple("abcd"))})
    begun, _ = run(plan(space=space, rounds=((4, 1), (2, 2))), lambda point: ord(point["o"]))
    plan(space=space, rounds=((9, 1), (9, 2))).lengthen(begun)
    assert [round_.num_trials for round_ in begun] == [9, 2]
