"""The space that a sweep searches: intervals and categories, and how they narrow. Pure.

A point gives each of its keys a value, as the text that an override has: `{"optimizer.lr": "0.00123"}`. A range works
in its own scale; t is a coordinate in that scale (a logarithm to base 10 on a log range), u a coordinate from 0 to 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

Item = TypeVar("Item")
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
        """Around the best values (the very best first), at most `shrink` times narrower; and what was widened.

        Where a value may be 0, it comes to be so in proportion to its share of the best values.
        """
        if self.zero:
            others = [value for value in best if value != 0]
            zero = round((len(best) - len(others) + self.zero) / (len(best) + 1), 4)
            narrow, note = replace(self, zero=0.0).narrowed(others, shrink)
            return replace(narrow, zero=zero), note
        if not best or self.width == 0:
            return self, ""
        ts = [self.t(value) for value in best]
        low, high = self.t(self.low), self.t(self.high)
        new_low = max(low, min(ts) - MARGIN * self.width)
        new_high = min(high, max(ts) + MARGIN * self.width)
        lacking = self.width / shrink - (new_high - new_low)
        if lacking > 0:
            new_low = max(low, min(new_low - lacking / 2, high - self.width / shrink))
            new_high = new_low + self.width / shrink
        side = self._side(best[0])
        if side == "lower":
            new_low = low - self.widening
        elif side == "upper":
            new_high = high + self.widening
        narrow = replace(self, low=self._bound(new_low), high=self._bound(new_high))
        bound = narrow.low if side == "lower" else narrow.high
        return narrow, f"the best, {self.hit(best[0], ', is')}: widened to {_text(bound)}" if side else ""

    def hit(self, value: float, verb: str = " is") -> str:
        """The edge that a value lies at, in words; or nothing, where the bound is a hard one."""
        side = self._side(value)
        return f"{_text(value)}{verb} at the {side} edge of {_text(self.low)} to {_text(self.high)}" if side else ""

    def _side(self, value: float) -> str:
        """The bound, lower or upper, that a value lies near and that can move out; empty where there is none."""
        t, low, high = self.t(value), self.t(self.low), self.t(self.high)
        if t < low + EDGE * self.width and self._bound(low - self.widening) != self._bound(low):
            return "lower"
        if t > high - EDGE * self.width and self._bound(high + self.widening) != self._bound(high):
            return "upper"
        return ""

    def _bound(self, t: float) -> float:
        """The value at t, rounded, and within the hard bounds."""
        value = min(max(self.value(t), self.hard_low), self.hard_high)
        return round(value) if self.integer else float(_text(value))

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
        return self.point({name: dim.at(u) for (name, dim), u in zip(self.dimensions.items(), unit, strict=True)})

    def point(self, drawn: Mapping[str, str]) -> Point:
        """The point of values by name: those that have a place beside the choices among them."""
        choices = {name: value for name, value in drawn.items() if isinstance(self.dimensions[name], Categorical)}
        return {key_of(name): value for name, value in drawn.items() if self.applies(name, choices)}

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
                narrow[name], note = dimension.narrowed([float(value) for value in values], shrink)
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
        """The dimensions that `describe` gave earlier, with their bounds and shares."""
        made: dict[str, Interval | Categorical] = {}
        for name, about in described.items():
            dimension = self.dimensions[name]
            if isinstance(dimension, Categorical):
                made[name] = replace(dimension, shares=tuple(about["options"][option] for option in dimension.options))
            else:
                made[name] = replace(dimension, low=about["low"], high=about["high"], zero=about.get("zero", 0.0))
        return replace(self, dimensions=made)


def distinct(items: Iterable[Item]) -> list[Item]:
    """Each item once, where it came first; they need no hash."""
    found: list[Item] = []
    for item in items:
        if item not in found:
            found.append(item)
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
