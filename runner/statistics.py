"""Means with their uncertainty, and which of several is better beyond chance. Pure functions on plain numbers."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from runner.objective import Mode

Samples = Mapping[Hashable, float]  # values of one method by seed

ALPHA = 0.05
ROUNDING = 1e-12  # relative; a deviation below it is the rounding of equal numbers


@dataclass(frozen=True)
class Estimate:
    """The mean of n values, their standard deviation (n - 1), and the confidence interval of the mean.

    Of one value, `std`, `ci_low` and `ci_high` are NaN; of none, all are.
    """

    mean: float
    std: float
    ci_low: float
    ci_high: float
    n: int


@dataclass(frozen=True)
class Ranking:
    """Which name has the best mean, and what can be said of the others against it.

    `p` holds the p values after Holm's correction, by name, of all that could be tested.
    """

    best: str | None = None
    same: list[str] = field(default_factory=list)  # not distinguishable from the best
    worse: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # fewer than two values, here or in the best
    p: dict[str, float] = field(default_factory=dict)
    paired: list[str] = field(default_factory=list)  # those tested in pairs; the other tests were Welch's


def interval(values: Sequence[float], confidence: float = 1 - ALPHA) -> Estimate:
    """The mean with the confidence interval of Student's t distribution."""
    n = len(values)
    if n < 2:
        return Estimate(values[0] if n else math.nan, math.nan, math.nan, math.nan, n)
    mean, deviation = _moments(values)
    from scipy.special import stdtrit  # here, since importing it takes a while

    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * deviation / math.sqrt(n)
    return Estimate(mean, deviation, mean - half, mean + half, n)


def wilson(successes: int, total: int, confidence: float = 1 - ALPHA) -> tuple[float, float]:
    """The confidence interval of a proportion. Source: Wilson 1927."""
    if not total:
        return 0.0, 1.0
    from scipy.special import ndtri

    z, p = float(ndtri((1 + confidence) / 2)), successes / total
    middle = p + z * z / (2 * total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = ((middle + sign * half) / (1 + z * z / total) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def compare(a: Sequence[float], b: Sequence[float], paired: bool) -> float:
    """The two-sided p value of equal means; NaN where a side has fewer than two values.

    Paired values must stand in the same order. Pairs whose differences are all equal say nothing of how differences
    vary, so they are compared by Welch's test, as unpaired.
    """
    if min(len(a), len(b)) < 2:
        return math.nan
    p = paired_t(a, b) if paired else math.nan
    return welch(a, b) if math.isnan(p) else p


def paired_t(a: Sequence[float], b: Sequence[float]) -> float:
    """The p value of the t test on the differences a - b; NaN where these do not vary but are not zero."""
    assert len(a) == len(b) >= 2
    mean, deviation = _moments([x - y for x, y in zip(a, b, strict=True)])
    if deviation <= ROUNDING * _size(a, b):
        return 1.0 if abs(mean) <= ROUNDING * _size(a, b) else math.nan
    return _two_sided(mean / (deviation / math.sqrt(len(a))), len(a) - 1)


def welch(a: Sequence[float], b: Sequence[float]) -> float:
    """The p value of the t test for unequal variances, with the degrees of freedom of Welch and Satterthwaite.

    Source: Welch, The generalization of Student's problem, Biometrika 34 (1947). Where neither side varies the
    p value is 1 for equal means, else 0.
    """
    mean_a, deviation_a = _moments(a)
    mean_b, deviation_b = _moments(b)
    difference = mean_a - mean_b
    if max(deviation_a, deviation_b) <= ROUNDING * _size(a, b):
        return 1.0 if abs(difference) <= ROUNDING * _size(a, b) else 0.0
    # Over the larger of both, since squares of squares of small deviations underflow.
    scale = max(deviation_a, deviation_b)
    error_a, error_b = (deviation_a / scale) ** 2 / len(a), (deviation_b / scale) ** 2 / len(b)
    freedom = (error_a + error_b) ** 2 / (error_a**2 / (len(a) - 1) + error_b**2 / (len(b) - 1))
    return _two_sided(difference / (scale * math.sqrt(error_a + error_b)), freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number, step down: reject those at most alpha.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def rank(samples: Mapping[str, Samples], mode: Mode, alpha: float = ALPHA) -> Ranking:
    """The name with the best mean, and each other name against it.

    A pair that shares two seeds or more is compared by the paired t test over these, else by Welch's on all values;
    the p values are corrected by Holm's method. Values that are no finite number are left out, and names without any.
    Of equal means the one with more values is the best, then the first. The best is chosen by the values that are then
    tested, so a worse name is held worse than the best of these seeds, no more.
    """
    finite = {
        name: {seed: value for seed, value in values.items() if math.isfinite(value)}
        for name, values in samples.items()
    }
    kept = {name: values for name, values in finite.items() if values}
    if not kept:
        return Ranking()
    means = {name: math.fsum(values.values()) / len(values) for name, values in kept.items()}
    sign = 1 if mode == "max" else -1
    best = max(kept, key=lambda name: (sign * means[name], len(kept[name])))
    p: dict[str, float] = {}
    paired, unknown = [], []
    for name in kept:
        if name == best:
            continue
        shared = [seed for seed in kept[best] if seed in kept[name]]
        if len(shared) >= 2:
            p[name] = compare([kept[best][seed] for seed in shared], [kept[name][seed] for seed in shared], True)
            paired.append(name)
        elif min(len(kept[best]), len(kept[name])) >= 2:
            p[name] = compare(list(kept[best].values()), list(kept[name].values()), False)
        else:
            unknown.append(name)
    p = dict(zip(p, holm(list(p.values())), strict=True))
    same = [name for name in p if p[name] > alpha]
    return Ranking(best, same, [name for name in p if p[name] <= alpha], unknown, p, paired)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; 0 where values differ by their rounding alone."""
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return mean, deviation if deviation > ROUNDING * _size(values) else 0.0


def _two_sided(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(t)))


def _size(*values: Sequence[float]) -> float:
    return max(map(abs, chain(*values)))
