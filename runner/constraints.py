"""Types of configuration values, and the check of a value against the annotation of the argument it is meant for.

An annotation such as `p: FractionBelowOne` says, beside its reader, what a key may hold; `problem` turns a violation
into words. Unknown annotations accept anything: users' own classes need not be annotated.
"""

import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number; an open bound excludes its value."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        low = "" if self.low == -math.inf else f"{'above' if self.low_open else 'at least'} {self.low:g}"
        high = "" if self.high == math.inf else f"{'below' if self.high_open else 'at most'} {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


Positive = Annotated[float, Bounds(0, low_open=True)]
NonNegative = Annotated[float, Bounds(0)]
FractionBelowOne = Annotated[float, Bounds(0, 1, high_open=True)]  # a rate that may not be 1
Fraction = Annotated[float, Bounds(0, 1)]
OpenFraction = Annotated[float, Bounds(0, 1, low_open=True, high_open=True)]  # strictly between
PositiveFraction = Annotated[float, Bounds(0, 1, low_open=True)]  # all of it at most, and not nothing
AtLeastOne = Annotated[float, Bounds(1)]
NonNegativeInt = Annotated[int, Bounds(0)]
PositiveInt = Annotated[int, Bounds(1)]
AtLeastTwo = Annotated[int, Bounds(2)]


_TIME = re.compile(r"(?:([0-9.]+)\s*h)?\s*(?:([0-9.]+)\s*m(?:in)?)?\s*(?:([0-9.]+)\s*s)?")
_DURATION = re.compile(r"\s*([0-9.eE+-]+)\s*(epochs?|steps?|%)?\s*$")


@dataclass(frozen=True)
class DurationForm:
    """A length of training: a number of epochs (fractions allowed), or '500 steps', or '10%' of the whole."""


Duration = Annotated[float | str, DurationForm()]


def duration_steps(value: float | str, steps_per_epoch: int, total_steps: int) -> int:
    """The duration in steps, rounded to the nearest.

    >>> duration_steps(2, 100, 1000), duration_steps("30 steps", 100, 1000), duration_steps("5%", 100, 1000)
    (200, 30, 50)
    """
    number, unit = _parse_duration(value)
    per_unit = {"epoch": steps_per_epoch, "step": 1, "%": total_steps / 100}[unit]
    return round(number * per_unit)


def _parse_duration(value: float | str) -> tuple[float, str]:
    if isinstance(value, int | float):
        return float(value), "epoch"
    match = _DURATION.match(value)
    if not match:
        raise ValueError(f"no duration: {value!r}")
    return float(match[1]), (match[2] or "epoch").rstrip("s")


@dataclass(frozen=True)
class TimeForm:
    """A length of time: a number of seconds, or like '20m', '90s', '1h30m'."""


Time = Annotated[float | str, TimeForm()]


def seconds_of(value: float | str) -> float:
    """A length of time in seconds.

    >>> seconds_of("1h30m"), seconds_of("90s"), seconds_of(2.5)
    (5400.0, 90.0, 2.5)
    """
    if isinstance(value, int | float):
        return float(value)
    match = _TIME.fullmatch(value.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"no length of time: {value!r}")
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))


@dataclass(frozen=True)
class Words:
    """One of some words; a few of them may be followed by a number within bounds, as in 'leaky_relu:0.1'."""

    words: tuple[str, ...]
    numbers: tuple[tuple[str, Bounds], ...]

    def parse(self, value: str) -> tuple[str, float | None]:
        """The word, and its number if it has one.

        Raises:
            ValueError: it is no such word, or its number is out of bounds.
        """
        word, colon, text = value.partition(":")
        bounds = dict(self.numbers).get(word)
        if word not in self.words or (colon and bounds is None):
            raise ValueError(f"must be one of {', '.join(map(repr, self.words))}, not {value!r}")
        if bounds is None or not colon:
            return word, None
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"must have a number after {word}:, not {text!r}") from None
        if not math.isfinite(number) or number not in bounds:
            raise ValueError(f"must have a number after {word}: that is {bounds}, not {text}")
        return word, number


def problem(value: Any, annotation: Any) -> str | None:
    """What is wrong with `value` for an argument of this annotation, as 'must be ...', or None."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated_problem(value, args[0], args[1:])
    if origin is Literal:
        return None if value in args else f"must be one of {', '.join(map(_show, args))}, not {_show(value)}"
    if origin in (Union, types.UnionType):
        return _union_problem(value, args)
    if annotation in (int, float, bool, str):
        return _scalar_problem(value, annotation)
    if annotation is types.NoneType:
        return None if value is None else f"must be null, not {_show(value)}"
    if origin in (list, tuple, Sequence):
        return _sequence_problem(value, origin, args)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            return f"must be a mapping, not {_show(value)}"
        return next((found for item in value.values() if (found := problem(item, args[1]))), None)
    return None


def _annotated_problem(value: Any, inner: Any, extras: tuple[Any, ...]) -> str | None:
    found = problem(value, inner)
    if found:
        return found
    for extra in extras:
        if isinstance(extra, Bounds) and isinstance(value, int | float) and value not in extra:
            return f"must be {extra}, not {_show(value)}"
        if isinstance(extra, DurationForm):
            try:
                number, _ = _parse_duration(value)
            except ValueError:
                number = -1
            if number < 0:
                return f"must be a number of epochs, or like '500 steps' or '10%', not {_show(value)}"
        if isinstance(extra, TimeForm):
            try:
                seconds = seconds_of(value)
            except ValueError:
                seconds = 0.0
            if seconds <= 0:
                return f"must be a length of time such as 20m, 90s or 1h30m, not {_show(value)}"
        if isinstance(extra, Words):
            try:
                extra.parse(value)
            except ValueError as error:
                return str(error)
    return None


def _union_problem(value: Any, options: tuple[Any, ...]) -> str | None:
    # The null option is the least informative one to complain about; of a list, one that is for lists.
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    for_lists = (list, tuple, Sequence)
    options = tuple(
        sorted(options, key=lambda option: (option is types.NoneType, is_list and get_origin(option) not in for_lists))
    )
    problems = [problem(value, option) for option in options]
    return None if None in problems else problems[0]


def _scalar_problem(value: Any, kind: type) -> str | None:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    infinite = isinstance(value, float) and not math.isfinite(value)
    return None if fits and not infinite else f"must be {names[kind]}, not {_show(value)}"


def _sequence_problem(value: Any, origin: Any, args: tuple[Any, ...]) -> str | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return f"must be a list such as [..], not {_show(value)}"
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(value) != len(args):
            return f"must have {len(args)} values, not {_show(value)}"
        kinds: Sequence[Any] = args
    else:
        kinds = [args[0] if args else Any] * len(value)
    return next((found for item, kind in zip(value, kinds, strict=True) if (found := problem(item, kind))), None)


def _show(value: Any) -> str:
    return "null" if value is None else repr(value)
