"""Intervals and tests against scipy.stats, and what is said of the best."""

import math

import numpy as np
import pytest
from scipy import stats

from runner.statistics import compare, holm, interval, paired_t, rank, welch

A = [0.951, 0.948, 0.957, 0.950, 0.9495]
B = [0.940, 0.951, 0.944, 0.938, 0.9441]
C = [0.90, 0.97, 0.93]


@pytest.mark.parametrize("values", [A, C, [1.0, 3.0], [2.0, 2.0, 2.0]])
def test_the_interval_is_students(values):
    estimate = interval(values)
    n, mean, deviation = len(values), np.mean(values), np.std(values, ddof=1)
    half = stats.t.ppf(0.975, n - 1) * deviation / math.sqrt(n)
    got = (estimate.mean, estimate.std, estimate.ci_low, estimate.ci_high)
    assert got == pytest.approx((mean, deviation, mean - half, mean + half), rel=1e-12)
    assert estimate.n == n
    assert interval(A, 0.9).ci_high < interval(A).ci_high


def test_values_that_differ_by_their_rounding_have_no_spread():
    estimate = interval([0.1 + 0.2, 0.3, 0.3])
    assert (estimate.std, estimate.ci_high - estimate.mean) == (0, 0)
    assert interval([1e-100, 2e-100]).std > 0


def test_one_value_has_no_interval_and_none_no_mean():
    one, none = interval([0.5]), interval([])
    assert (one.mean, one.n) == (0.5, 1)
    assert math.isnan(one.std)
    assert math.isnan(one.ci_low)
    assert math.isnan(one.ci_high)
    assert none.n == 0
    assert math.isnan(none.mean)


@pytest.mark.parametrize(("a", "b"), [(A, B), (A, C), (C, B), ([1e-9, 2e-9], [5e-9, 9e-9, 7e-9])])
def test_welch_is_scipys(a, b):
    assert welch(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-9)
    assert compare(a, b, paired=False) == welch(a, b) == welch(b, a)


def test_pairs_are_scipys():
    expected = stats.ttest_rel(A, B).pvalue
    assert paired_t(A, B) == pytest.approx(expected, rel=1e-9)
    assert compare(A, B, paired=True) == paired_t(A, B) != compare(A, B, paired=False)


def test_equal_differences_are_compared_as_unpaired():
    a, b = [0.91, 0.95], [0.90, 0.94]
    assert math.isnan(paired_t(a, b))
    assert compare(a, b, paired=True) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_values_that_do_not_vary_differ_surely_or_not_at_all():
    assert compare([0.9, 0.9], [0.9, 0.9], paired=True) == 1.0
    assert compare([0.9, 0.9], [0.9, 0.9], paired=False) == 1.0
    assert compare([0.9, 0.9], [0.8, 0.8], paired=False) == 0.0
    assert compare([0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2], paired=True) == 1.0  # rounding is no difference
    assert compare([0.0, 0.0], [0.0, 0.0], paired=True) == compare([0.0, 0.0], [0.0, 0.0], paired=False) == 1.0


def test_one_value_cannot_be_compared():
    assert math.isnan(compare([0.9], [0.8, 0.7], paired=False))
    assert math.isnan(compare([0.9], [0.8], paired=True))


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def by_seed(values, first=0):
    return dict(enumerate(values, first))


def test_the_best_and_what_cannot_be_told_from_it():
    samples = {"b": by_seed([0.80, 0.81, 0.79, 0.80]), "a": by_seed([0.90, 0.92, 0.91, 0.89])}
    samples["c"] = by_seed([0.92, 0.88, 0.90, 0.90])
    ranking = rank(samples, "max")
    assert (ranking.best, ranking.same, ranking.worse, ranking.unknown) == ("a", ["c"], ["b"], [])
    assert set(ranking.paired) == {"b", "c"}
    least = rank(samples, "min")
    assert (least.best, set(least.worse)) == ("b", {"a", "c"})


def test_shared_seeds_are_compared_in_pairs_and_others_not():
    a, b = [0.90, 0.80, 0.70], [0.89, 0.785, 0.692]  # alike but for the seed
    pairs = rank({"a": by_seed(a), "b": by_seed(b)}, "max")
    apart = rank({"a": by_seed(a), "b": by_seed(b, first=3)}, "max")
    one_shared = rank({"a": by_seed(a), "b": by_seed(b, first=2)}, "max")
    assert pairs.worse == ["b"]
    assert pairs.p["b"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    for ranking in (apart, one_shared):
        assert ranking.same == ["b"]
        assert ranking.paired == []
        assert ranking.p["b"] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_pairs_are_matched_by_seed_and_not_by_place():
    a = {0: 0.90, 1: 0.80, 2: 0.70}
    b = {2: 0.692, 0: 0.89, 1: 0.785}
    assert rank({"a": a, "b": b}, "max").p["b"] == pytest.approx(
        stats.ttest_rel([0.9, 0.8, 0.7], [0.89, 0.785, 0.692])[1]
    )


def test_many_comparisons_are_corrected():
    best, other = [0.90, 0.91, 0.92], [0.893, 0.901, 0.916]
    alone = rank({"best": by_seed(best), "other": by_seed(other)}, "max")
    crowd = {f"near {i}": by_seed([0.91, 0.89, 0.90 + i / 1000]) for i in range(3)}
    among = rank({"best": by_seed(best), "other": by_seed(other), **crowd}, "max")
    assert alone.p["other"] < 0.05 < among.p["other"]
    assert among.same == ["other", *crowd]


def test_a_single_value_says_nothing():
    ranking = rank({"a": by_seed(A), "one": {0: 0.2}}, "max")
    assert (ranking.best, ranking.unknown, ranking.p) == ("a", ["one"], {})
    lucky = rank({"a": by_seed(A), "b": by_seed(B), "one": {0: 0.99}}, "max")
    assert (lucky.best, lucky.unknown, lucky.same, lucky.worse) == ("one", ["a", "b"], [], [])


def test_ties_go_to_the_one_with_more_values_then_to_the_first():
    assert rank({"one": {0: 0.5}, "two": {0: 0.5, 1: 0.5}, "three": {0: 0.5, 1: 0.5}}, "max").best == "two"


def test_values_that_are_no_number_are_left_out():
    ranking = rank({"a": {0: 0.5, 1: 0.6}, "b": {0: math.nan, 1: 0.9, 2: math.inf}, "c": {0: math.nan}, "d": {}}, "max")
    assert (ranking.best, ranking.unknown) == ("b", ["a"])
    assert rank({"a": {0: math.nan}}, "max").best is None
    assert rank({}, "min").best is None
