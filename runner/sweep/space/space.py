"""The space that a sweep searches: intervals and categories, and how they narrow. Pure.

A point gives each of its keys a value, as the text that an override has: `{"optimizer.lr": "0.00123"}`. A range works
in its own scale; t is a coordinate in that scale (a logarithm to base 10 on a log range), u a coordinate from 0 to 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Point = dict[str, str]
Scale = Literal["linear", "log", "one_minus_log"]

EDGE = 0.1  # a best value so near the edge of its range, in widths, widens the range there
MARGIN = 0.1  # left around the best points of a round, in widths
ZERO_SHARE = 0.2  # of a `zero_or` range's first points
DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """Numbers between two bounds.

    Args:
        scale: `log` draws uniformly in log x, `one_minus_log` in log(1 - x), as suits a momentum.
        zero: probability of exactly 0 instead.
        hard_low, hard_high: bounds beyond which the interval never widens.
    """

    low: float
    high: float
    scale: Scale = "linear"
    integer: bool = False
    zero: float = 0.0
    hard_low: float = -math.inf
    hard_high: float = math.inf

    def t(self, value: float) -> float:
        if self.scale == "log":
            return math.log10(value)
        return -math.log10(1 - value) if self.scale == "one_minus_log" else value

    def value(self, t: float) -> float:
        if self.scale == "log":
            return math.pow(10, t)
        return 1 - math.pow(10, -t) if self.scale == "one_minus_log" else t

    def at(self, u: float) -> str:
        """The value at u, as text."""
        if u < self.zero:
            return "0"
        u = (u - self.zero) / (1 - self.zero)
        if self.integer and self.scale == "linear":  # each integer has the same share
            return str(min(math.floor(self.low + u * (self.high - self.low + 1)), round(self.high)))
        value = self.value(self.t(self.low) + u * self.width)
        value = min(max(value, self.low), self.high)
        return str(round(value)) if self.integer else _text(value)

    @property
    def width(self) -> float:
        return self.t(self.high) - self.t(self.low)

    @property
    def widening(self) -> float:
        """How far a bound moves out: a decade, or half the width of a linear range."""
        return 1.0 if self.scale != "linear" else 0.5 * self.width

    def narrowed(self, best: Sequence[float], shrink: float) -> tuple[Interval, str]:
        """Around the best values (the very best first), at most `shrink` times narrower; and what was widened."""
        ts = [self.t(value) for value in best]
        low, high = self.t(self.low), self.t(self.high)
        if self.width == 0:
            return self, ""
        new_low = max(low, min(ts) - MARGIN * self.width)
        new_high = min(high, max(ts) + MARGIN * self.width)
        lacking = self.width / shrink - (new_high - new_low)
        if lacking > 0:
            new_low = max(low, min(new_low - lacking / 2, high - self.width / shrink))
            new_high = new_low + self.width / shrink
        near_low = ts[0] < low + EDGE * self.width and self._room(low - self.widening, low)
        near_high = ts[0] > high - EDGE * self.width and self._room(high + self.widening, high)
        if near_low:
            new_low = low - self.widening
        if near_high:
            new_high = high + self.widening
        narrow = self._between(new_low, new_high)
        side = "lower" if near_low else "upper"
        bound = narrow.low if near_low else narrow.high
        note = f"the best, {_text(best[0])}, is at the {side} edge of {self.shown}: widened to {_text(bound)}"
        return narrow, note if near_low or near_high else ""

    def hit(self, value: float) -> str:
        """The edge that a value lies at, in words; or nothing, where the bound is a hard one."""
        t, low, high = self.t(value), self.t(self.low), self.t(self.high)
        if t < low + EDGE * self.width and self._room(low - self.widening, low):
            return f"{_text(value)} is at the lower edge of {self.shown}"
        if t > high - EDGE * self.width and self._room(high + self.widening, high):
            return f"{_text(value)} is at the upper edge of {self.shown}"
        return ""

    def _room(self, wanted: float, present: float) -> bool:
        """Whether a bound can move, in values, from `present` towards `wanted`."""
        return self._clamped(self.value(wanted)) != self._clamped(self.value(present))

    def _clamped(self, value: float) -> float:
        value = min(max(value, self.hard_low), self.hard_high)
        return round(value) if self.integer else float(_text(value))

    def _between(self, low: float, high: float) -> Interval:
        bounds = sorted(self._clamped(self.value(t)) for t in (low, high))
        return replace(self, low=bounds[0], high=bounds[1])

    @property
    def shown(self) -> str:
        return f"{_text(self.low)} to {_text(self.high)}"

    def describe(self) -> dict[str, Any]:
        """As sweep.json has it."""
        about: dict[str, Any] = {"low": self.low, "high": self.high, "scale": self.scale}
        return about | ({"integer": True} if self.integer else {}) | ({"zero": self.zero} if self.zero else {})


@dataclass(frozen=True)
class Categorical:
    """A few values, each with the share of the points that takes it."""

    options: tuple[str, ...]
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.shares:
            object.__setattr__(self, "shares", (1 / len(self.options),) * len(self.options))

    def at(self, u: float) -> str:
        sums = itertools.accumulate(self.shares)
        return next((option for option, total in zip(self.options, sums, strict=True) if u < total), self.options[-1])

    def narrowed(self, best: Sequence[str]) -> Categorical:
        """Options in proportion to their share of the best points, none ever quite at zero."""
        shares = [(best.count(option) + share) / (len(best) + 1) for option, share in self.pairs]
        return replace(self, shares=tuple(shares))

    @property
    def pairs(self) -> list[tuple[str, float]]:
        return list(zip(self.options, self.shares, strict=True))

    def describe(self) -> dict[str, Any]:
        return {"options": {option: round(share, 4) for option, share in self.pairs}}


@dataclass(frozen=True)
class Space:
    """Ranges and choices by name; a name is its key, or KEY[GROUP=OPTION] where it applies under that choice alone.

    `applies(name, point)` tells whether a name has a place in a point with those choices.
    """

    dimensions: Mapping[str, Interval | Categorical]
    applies: Callable[[str, Point], bool] = field(default=lambda name, point: True, compare=False)

    def at(self, unit: Sequence[float]) -> Point:
        """The point at coordinates from 0 to 1, one for each dimension."""
        drawn = {name: dim.at(u) for (name, dim), u in zip(self.dimensions.items(), unit, strict=True)}
        choices = {name: value for name, value in drawn.items() if isinstance(self.dimensions[name], Categorical)}
        return {key_of(name): value for name, value in drawn.items() if self.applies(name, choices)}

    def corner(self, choices: Point, u: float) -> Point:
        """The point with those choices and every range at u."""
        drawn = {name: dim.at(u) for name, dim in self.dimensions.items()} | choices
        return {key_of(name): value for name, value in drawn.items() if self.applies(name, drawn)}

    def active(self, name: str, point: Point) -> bool:
        return key_of(name) in point and self.applies(name, point)

    def narrowed(self, best_first: Sequence[Point], shrink: float) -> tuple[Space, list[str]]:
        """The space around the best points of a round, and notes of what was widened."""
        narrow: dict[str, Interval | Categorical] = {}
        notes = []
        for name, dimension in self.dimensions.items():
            values = [point[key_of(name)] for point in best_first if self.active(name, point)]
            narrow[name] = dimension
            if isinstance(dimension, Categorical):
                narrow[name] = dimension.narrowed(values)
            elif values:
                narrow[name], note = _narrowed_range(dimension, values, shrink)
                notes += [f"{name}: {note}"] if note else []
        return replace(self, dimensions=narrow), notes

    def joined(self, other: Space) -> Space:
        """Each range from the lesser low to the greater high of the two; choices as they are here."""
        wide = dict(self.dimensions)
        for name, theirs in other.dimensions.items():
            ours = wide[name]
            if isinstance(ours, Interval) and isinstance(theirs, Interval):
                wide[name] = replace(ours, low=min(ours.low, theirs.low), high=max(ours.high, theirs.high))
        return replace(self, dimensions=wide)

    @property
    def size(self) -> float:
        """Number of different points; infinite with a range."""
        sizes = [len(dim.options) if isinstance(dim, Categorical) else math.inf for dim in self.dimensions.values()]
        return math.prod(sizes)

    def describe(self) -> dict[str, Any]:
        return {name: dimension.describe() for name, dimension in self.dimensions.items()}

    def restored(self, described: Mapping[str, Any]) -> Space:
        """This space with the bounds and shares that `describe` gave earlier."""
        made: dict[str, Interval | Categorical] = {}
        for name, dimension in self.dimensions.items():
            about = described[name]
            if isinstance(dimension, Categorical):
                made[name] = replace(dimension, shares=tuple(about["options"][option] for option in dimension.options))
            else:
                made[name] = replace(dimension, low=about["low"], high=about["high"], zero=about.get("zero", 0.0))
        return replace(self, dimensions=made)


def _narrowed_range(dimension: Interval, values: Sequence[str], shrink: float) -> tuple[Interval, str]:
    numbers = [float(value) for value in values]
    zeros = numbers.count(0.0) if dimension.zero else 0
    rest = [number for number in numbers if number != 0 or not dimension.zero]
    note = ""
    if rest:
        dimension, note = dimension.narrowed(rest, shrink)
    if dimension.zero:
        dimension = replace(dimension, zero=round((zeros + dimension.zero) / (len(numbers) + 1), 4))
    return dimension, note


def distinct(points: Iterable[Point]) -> list[Point]:
    """Each point once, where it came first."""
    found: list[Point] = []
    for point in points:
        if point not in found:
            found.append(point)
    return found


def key_of(name: str) -> str:
    """The config key of a dimension's name."""
    return name.partition("[")[0]


def condition_of(name: str) -> str:
    """GROUP=OPTION, under which alone a dimension has a place; empty for most."""
    return name.partition("[")[2].rstrip("]")


def _text(value: float) -> str:
    """A number as a person writes it, to six digits."""
    return f"{value:.{DIGITS}g}"
