"""Ranges, choices, drawn points and how they narrow."""

import itertools
import math
from collections import Counter

import pytest

from runner.sweep.space.sampling import sample
from runner.sweep.space.space import Categorical, Interval, Space

LR = Interval(1e-5, 1e-1, "log")


def take(space, draw, seed, number):
    return list(itertools.islice(sample(space, draw, seed, number), number))


def values(range_, draw="random", number=2000, seed=1):
    return [float(point["x"]) for point in take(Space({"x": range_}), draw, seed, number)]


def test_a_log_range_is_uniform_in_the_logarithm():
    exponents = [math.log10(value) for value in values(LR)]
    counts = Counter(math.floor(exponent) for exponent in exponents)
    assert all(abs(counts[decade] - 500) < 80 for decade in (-5, -4, -3, -2))
    assert min(exponents) >= -5
    assert max(exponents) <= -1


def test_one_minus_is_uniform_in_the_logarithm_of_the_rest():
    drawn = values(Interval(0.9, 0.999, "one_minus_log"))
    assert abs(sum(value < 0.99 for value in drawn) - 1000) < 100, "half lie between 0.9 and 0.99"


def test_zero_or_gives_exactly_zero_for_its_share_and_the_range_for_the_rest():
    drawn = [Interval(1e-4, 1e-1, "log", zero=0.2).at((i + 0.5) / 100) for i in range(100)]
    assert drawn[:20] == ["0"] * 20
    assert all(1e-4 <= float(value) <= 1e-1 for value in drawn[20:])
    assert float(drawn[20]) < 1.1e-4
    assert float(drawn[-1]) > 9e-2
    assert float(drawn[60]) == pytest.approx(10**-2.5, rel=0.1)  # the middle of what is left


def test_whole_numbers_are_whole_and_reach_both_bounds_alike():
    drawn = Counter(Interval(1, 4, integer=True).at((i + 0.5) / 400) for i in range(400))
    assert drawn == {"1": 100, "2": 100, "3": 100, "4": 100}
    assert {Interval(16, 256, "log", integer=True).at(u) for u in (0.0, 1.0)} == {"16", "256"}


def test_sobol_covers_each_half_decade_better_than_chance():
    def largest_gap(draw):
        drawn = sorted(math.log10(value) for value in values(LR, draw, 64))
        return max(b - a for a, b in itertools.pairwise(drawn))

    assert largest_gap("sobol") < 0.15
    assert largest_gap("random") > 0.15


def test_one_seed_gives_the_same_points_and_more_points_begin_with_the_fewer():
    space = Space({"a": LR, "b": Categorical(("x", "y", "z")), "c": Interval(0, 1)})
    few, many = take(space, "sobol", 7, 10), take(space, "sobol", 7, 25)
    assert (len(few), len(many)) == (10, 25)
    assert many[:10] == few
    assert take(space, "sobol", 8, 1) != few[:1]


def test_a_grid_has_both_bounds_and_every_option():
    grid = list(sample(Space({"lr": LR, "o": Categorical(("sgd", "adam"))}), "grid", 0, 11))
    assert len(grid) == 10
    assert [point["lr"] for point in grid if point["o"] == "sgd"] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]


def test_a_grid_of_a_range_that_may_be_zero_has_zero_and_both_bounds():
    space = Space({"wd": Interval(1e-4, 1.0, "log", zero=0.2)})
    assert [point["wd"] for point in sample(space, "grid", 0, 4)] == ["0", "0.0001", "0.01", "1"]


def test_a_finite_space_is_drawn_whole_and_without_repetition():
    space = Space({"a": Categorical(("1", "2")), "b": Categorical(("x", "y"))})
    drawn = [tuple(point.values()) for point in sample(space, "sobol", 0, 50)]
    assert sorted(drawn) == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]


def test_narrowing_keeps_the_best_with_a_margin():
    narrow, note = LR.narrowed([1e-3, 3e-4, 3e-3], shrink=100)
    assert note == ""
    assert narrow.low == pytest.approx(10 ** (math.log10(3e-4) - 0.4), rel=1e-4)
    assert narrow.high == pytest.approx(10 ** (math.log10(3e-3) + 0.4), rel=1e-4)


def test_a_range_shrinks_at_most_threefold():
    narrow, _ = LR.narrowed([1e-3, 1.01e-3], shrink=3)
    assert narrow.width == pytest.approx(4 / 3, rel=1e-4)
    assert narrow.low < 1e-3 < narrow.high


@pytest.mark.parametrize(("best", "bound", "side"), [(1.5e-5, 1e-6, "lower"), (0.07, 1.0, "upper")])
def test_a_best_at_an_edge_widens_the_range_there_by_a_decade_and_says_so(best, bound, side):
    narrow, note = LR.narrowed([best, 1e-3], shrink=3)
    assert (narrow.low if side == "lower" else narrow.high) == pytest.approx(bound)
    assert f"{side} edge of 1e-05 to 0.1: widened to {bound:g}" in note


def test_a_hard_bound_is_never_passed():
    hard = Interval(1e-5, 1e-1, "log", hard_low=1e-5, hard_high=0.5)
    assert hard.narrowed([1.1e-5], shrink=3)[0].low == pytest.approx(1e-5)
    assert hard.narrowed([1.1e-5], shrink=3)[1] == ""
    assert hard.narrowed([0.09], shrink=3)[0].high == pytest.approx(0.5)


def test_a_linear_range_widens_by_half_its_width():
    assert Interval(0, 1).narrowed([0.99], 3)[0].high == pytest.approx(1.5)


def test_choices_are_narrowed_by_their_success_and_none_dies_out():
    shares = dict(Categorical(("sgd", "adam", "rmsprop")).narrowed(["adam", "adam", "sgd"]).pairs)
    assert shares["adam"] > shares["sgd"] > shares["rmsprop"] > 0
    assert sum(shares.values()) == pytest.approx(1)


def test_zeros_that_win_become_more_likely_and_do_not_move_the_range():
    space = Space({"wd": Interval(1e-4, 1e-1, "log", zero=0.2)})
    narrow, _ = space.narrowed([{"wd": "0"}, {"wd": "0"}, {"wd": "0.003"}], 3)
    assert narrow.dimensions["wd"].zero == pytest.approx(2.2 / 4)
    assert narrow.dimensions["wd"].low < 0.003 < narrow.dimensions["wd"].high
    lost, _ = space.narrowed([{"wd": "0.01"}, {"wd": "0.003"}], 3)
    assert lost.dimensions["wd"].zero < 0.1


def test_a_space_is_restored_from_its_description():
    space = Space({"lr": LR, "wd": Interval(1e-4, 1e-1, "log", zero=0.2), "o": Categorical(("a", "b"))})
    narrow, _ = space.narrowed([{"lr": "0.001", "wd": "0.01", "o": "a"}], 3)
    assert space.restored(narrow.describe()).dimensions["lr"] == narrow.dimensions["lr"]
    assert space.restored(narrow.describe()).describe() == narrow.describe()


def test_a_range_that_does_not_apply_is_no_part_of_the_point():
    def applies(name, point):
        return name != "momentum" or point.get("o") == "sgd"

    space = Space({"o": Categorical(("sgd", "adam")), "momentum": Interval(0.5, 0.9)}, applies)
    drawn = take(space, "random", 0, 40)
    assert all(("momentum" in point) == (point["o"] == "sgd") for point in drawn)
    assert {point["o"] for point in drawn} == {"sgd", "adam"}


def test_a_grid_of_one_point_has_the_middle_of_a_range():
    for zero in (0.0, 0.2):
        space = Space({"wd": Interval(1e-4, 1.0, "log", zero=zero)})
        assert [point["wd"] for point in sample(space, "grid", 0, 1)] == ["0.01"]


def test_an_option_is_found_where_the_shares_fall_short_of_one_by_rounding():
    options = Categorical(("a", "b", "c"), (0.3, 0.3, 0.4 - 1e-12))
    assert [options.at(u) for u in (0.0, 0.29, 0.31, 0.61, 1 - 1e-13)] == ["a", "a", "b", "c", "c"]


def test_a_best_a_tenth_of_the_width_from_the_bound_is_at_no_edge():
    range_ = Interval(0, 10)
    assert "lower edge" in range_.hit(0.999)
    assert range_.hit(1.0) == range_.hit(9.0) == ""
    assert "upper edge" in range_.hit(9.001)
