"""Axes of a sweep's pictures: where a value stands in the scale of its key, and which values get a label. Pure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.history import SweepHistory
from runner.sweep.space.space import Categorical, Interval, Scale, key_of

STRIP = 0.13  # width of the place for 0, or for no value, in widths of the range
PADDING = 0.04
LEAST_RATIO = 4.0  # between the worst and the best score, from which on a logarithm shows more
FEW_DIGITS = 6.0  # between the bounds of a logarithm; below, the steps of a linear scale are as good
DIGITS = ((1,), (1, 3), (1, 5), (1, 2, 5), (1, 2, 3, 5))  # of labels on a logarithm
LONGEST = 22  # characters of an option


@dataclass(frozen=True)
class Axis:
    """A line with values on it; t is the coordinate.

    Args:
        low, high: of the values, as t; with options, these stand at 0, 1, 2...
        zero: 0 has a place of its own, below a logarithm's range.
        most: what is above stands there.
        absent: so has a trial without the key.
    """

    label: str
    low: float
    high: float
    scale: Scale = "linear"
    options: tuple[str, ...] = ()
    integer: bool = False
    zero: bool = False
    absent: bool = False
    most: float = math.inf

    def place(self, value: str | float | None) -> float | None:
        """Where a value stands; None where it has no place."""
        if self.options:
            return float(self.options.index(str(value))) if str(value) in self.options else self.absent_place
        number = as_number(value)
        if number is None:
            return self.absent_place
        number = min(number, self.most)
        if number == 0 and self.zero:
            return self.zero_place
        if not _fits(number, self.scale):
            return None
        return Interval(0, 0, self.scale).t(number)

    def value(self, t: float) -> float:
        return Interval(0, 0, self.scale).value(t)

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def zero_place(self) -> float:
        return self.low - STRIP * self.width

    @property
    def absent_place(self) -> float | None:
        if not self.absent:
            return None
        return -1.0 if self.options else self.low - (1 + self.zero) * STRIP * self.width

    @property
    def break_(self) -> float | None:
        """Where the values end and the places of their own begin."""
        return self.low - STRIP / 2 * self.width if (self.zero or self.absent) and not self.options else None

    @property
    def limits(self) -> tuple[float, float]:
        if self.options:
            return (-1.6 if self.absent else -0.6), len(self.options) - 0.4
        below = self.absent_place if self.absent else self.zero_place if self.zero else self.low
        assert below is not None
        return below - PADDING * self.width, self.high + PADDING * self.width

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Coordinates with their labels, places of their own among them."""
        own = [(self.zero_place, "0")] if self.zero else []
        if self.absent_place is not None:
            own = [(self.absent_place, "none"), *own]
        if self.options:
            return own + [(float(place), shortened(option)) for place, option in enumerate(self.options)]
        values = nice_values(self.value(self.low), self.value(self.high), self.scale, most)
        if self.integer:
            values = list(dict.fromkeys(float(round(value)) for value in values))
        placed = [(self.place(value), number_text(value)) for value in values]
        return own + [(t, text) for t, text in placed if t is not None]

    def minor_ticks(self) -> list[float]:
        """Coordinates of the values between decades."""
        if self.scale == "linear" or self.options or self.width > 9:
            return []
        values = [value for value in _digits(range(1, 10), self.scale) if _fits(value, self.scale)]
        coordinates = [Interval(0, 0, self.scale).t(value) for value in values]
        padding = PADDING * self.width
        return [t for t in coordinates if self.low - padding <= t <= self.high + padding]


def key_axis(history: SweepHistory, key: str) -> Axis:
    """The axis of a searched key: as wide as all ranges and values that it had."""
    dimensions = [dim for name, dim in history.plan.space.dimensions.items() if key_of(name) == key]
    values = [history.value(trial, key) for trial in history.trials]
    absent = None in values
    numbers = [number for value in values if (number := as_number(value)) is not None]
    ranges = [dim for dim in dimensions if isinstance(dim, Interval)]
    if len(ranges) < len(dimensions):
        options = [option for dim in dimensions if isinstance(dim, Categorical) for option in dim.options]
        seen = [value for value in values if value is not None]
        return Axis(key, 0, 1, options=tuple(dict.fromkeys([*options, *seen])), absent=absent)
    scale = ranges[0].scale
    described = [about for each in history.searches for name, about in each.ranges.items() if key_of(name) == key]
    bounds = [bound for dim in ranges for bound in (dim.low, dim.high)]
    bounds += [bound for about in described for bound in (about["low"], about["high"])]
    zero = 0.0 in numbers and (scale == "log" or any(dim.zero for dim in ranges)) and min(bounds) > 0
    inside = [number for number in [*bounds, *numbers] if _fits(number, scale) and not (zero and number == 0)]
    low, high = _spread(*(Interval(0, 0, scale).t(number) for number in (min(inside), max(inside))))
    return Axis(key, low, high, scale, integer=all(dim.integer for dim in ranges), zero=zero, absent=absent)


def score_axis(history: SweepHistory) -> Axis | None:
    """The axis of the scores: a logarithm of what is left to 1, or of the score, where they span enough of it."""
    scores = [score for trial in history.trials if (score := shown_score(trial)) is not None]
    if not scores:
        return None
    lowest, highest = min(scores), max(scores)
    scale: Scale = "linear"
    most = math.inf
    if history.plan.objective.mode == "max" and 0 <= lowest < highest <= 1:
        # A score of 1 leaves nothing that has a logarithm: it stands where half of the least rest would.
        top = highest if highest < 1 else 1 - min(1 - score for score in scores if score < 1) / 2
        if (1 - lowest) / (1 - top) >= LEAST_RATIO:
            scale, most, highest = "one_minus_log", top, top
    elif history.plan.objective.mode == "min" and lowest > 0 and highest / lowest >= LEAST_RATIO:
        scale = "log"
    t = Interval(0, 0, scale).t
    low, high = _spread(t(lowest), t(highest))
    return Axis(history.metric, low, high, scale, most=most)


def shown_score(trial: TrialRecord) -> float | None:
    """The score of a trial that went its way, to the end or to half of it; of others it is not shown."""
    return trial.score if trial.status in ("finished", "pruned") else None


def as_number(value: str | float | None) -> float | None:
    """The number that a text is, if it is one."""
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def number_text(value: float) -> str:
    """A number as a person writes it: 0.001, 1e-5."""
    text = f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3e}"
    mantissa, found, exponent = text.partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if found else text


def shortened(text: str) -> str:
    """A long option, cut in the middle."""
    half = (LONGEST - 1) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[-half:]}"


def nice_values(low: float, high: float, scale: Scale, most: int) -> list[float]:
    """Up to `most` round values from `low` to `high`, as many as there can be."""
    found = []
    if scale != "linear":
        series = [sorted(set(_digits(digits, scale))) for digits in DIGITS]
        series += [[10.0 ** (every * n) for n in range(-30, 31)] for every in (2, 3, 4, 6, 10)] * (scale == "log")
        least, greatest = low - abs(low) * 1e-9, high + abs(high) * 1e-9
        found = [[value for value in values if least <= value <= greatest] for values in series]
    ratio = high / low if scale == "log" else (1 - low) / (1 - high) if scale != "linear" else 1
    if ratio < FEW_DIGITS:
        found.append(_steps(low, high, most))
    fitting = [values for values in found if 2 <= len(values) <= most]
    return max(fitting, key=len) if fitting else [low, high]


def _steps(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    width = high - low
    if width <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(width / max(most, 1)))
    for step in (factor * power for factor in (1, 2, 5, 10, 20, 50)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [float(f"{n * step:.12g}") for n in range(first, last + 1)]
    return [low]


def _digits(digits: Sequence[int], scale: Scale) -> list[float]:
    """Those digits at every power of ten; or 1 less them."""
    powers = range(-12, 13) if scale == "log" else range(-12, 1)
    values = [digit * 10.0**power for power, digit in itertools.product(powers, digits)]
    return values if scale == "log" else [float(f"{1 - value:.13g}") for value in values if value <= 1]


def _fits(number: float, scale: Scale) -> bool:
    return number > 0 if scale == "log" else number < 1 if scale == "one_minus_log" else True


def _spread(low: float, high: float) -> tuple[float, float]:
    """Bounds that are not the same."""
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-3):
        return low, high
    half = abs(low) * 0.1 or 0.5
    return low - half, high + half
