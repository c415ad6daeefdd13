"""Curves that follow a cosine or a triangle, once or again and again."""

import math
from dataclasses import dataclass

from runner.constraints import AtLeastOne, Duration, Fraction, OpenFraction
from runner.schedule.curves import Curve


def half_cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` as `progress` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(kw_only=True)
class Cosine(Curve):
    """Half a cosine from the base rate to `min_factor` of it over what follows the warm-up.

    `lr = lr0 * (min + (1 - min) * (1 + cos(pi t / T)) / 2)`. Source: Loshchilov and Hutter 2017, equation 5.
    """

    min_factor: Fraction = 0.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        return half_cosine(1.0, self.min_factor, min(step / num_steps, 1.0))


@dataclass(kw_only=True)
class WarmRestarts(Curve):
    """Half a cosine again and again, the first over `period_epochs`, each `period_factor` times as long as the last.

    Source: Loshchilov and Hutter 2017 (SGDR), T_0 and T_mult.
    """

    period_epochs: Duration = 5
    period_factor: AtLeastOne = 2.0
    min_factor: Fraction = 0.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        start, length = 0, self.period(self.period_epochs)
        while step >= start + length:
            start += length
            length = max(1, round(length * self.period_factor))
        return half_cosine(1.0, self.min_factor, (step - start) / length)

    @property
    def is_cyclic(self) -> bool:
        return True

    def is_bottom(self, step: int) -> bool:
        return step >= self.steps(self.warmup_epochs) and self(step + 1) > self(step)


@dataclass(kw_only=True)
class Cyclic(Curve):
    """A triangle from `min_factor` of the base rate up to it and back every `period_epochs`. Source: Smith 2017."""

    period_epochs: Duration = 4
    min_factor: Fraction = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        position = (step / self.period(self.period_epochs)) % 1.0
        return self.min_factor + (1 - self.min_factor) * (1 - abs(2 * position - 1))

    @property
    def is_cyclic(self) -> bool:
        return True

    def is_bottom(self, step: int) -> bool:
        done = step + 1 - self.steps(self.warmup_epochs)
        return done > 0 and done % self.period(self.period_epochs) == 0


@dataclass(kw_only=True)
class Triangle(Curve):
    """From `start_factor` of the base rate up to it over a share `peak_fraction` of the run, then down to `end_factor`.

    Both in a straight line; the end is that of the update after the last. Source: Jordan 2024, arXiv 2404.00498.
    """

    start_factor: Fraction = 0.2
    peak_fraction: OpenFraction = 0.23
    end_factor: Fraction = 0.07

    def after_warmup(self, step: int, num_steps: int) -> float:
        peak = int(self.peak_fraction * num_steps)
        if step < peak:
            return self.start_factor + (1 - self.start_factor) * step / peak
        return 1 + (self.end_factor - 1) * min((step - peak) / (num_steps - peak), 1.0)


@dataclass(kw_only=True)
class OneCycle(Curve):
    """Up from `1/start_div` of the base rate over a share `pct_start` of the run, then down to `1/final_div` of that.

    Both by half a cosine, as torch's OneCycleLR. Source: Smith and Topin 2018.
    """

    pct_start: OpenFraction = 0.3
    start_div: AtLeastOne = 25.0
    final_div: AtLeastOne = 1e4

    def after_warmup(self, step: int, num_steps: int) -> float:
        peak = self.pct_start * num_steps - 1
        low = 1 / self.start_div
        if step < peak:
            return half_cosine(low, 1.0, step / peak)
        progress = (step - peak) / (num_steps - 1 - peak)
        return half_cosine(1.0, low / self.final_div, min(progress, 1.0))
