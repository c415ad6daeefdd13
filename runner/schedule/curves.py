"""Curves of the learning rate: pure functions of the update number, as factors of the base rate.

A curve takes plain numbers and gives plain numbers, so a stack of trials evaluates one curve a trial.
`steps_per_epoch` and `total_steps` are filled in from the data and the engine. Every curve may start with a linear
warm-up over `warmup_epochs`, during which it rises from 1/n to 1 of the base rate in n steps (Goyal et al. 2017);
the curve proper begins after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.quantity import Duration, Fraction, Positive, duration_steps


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A factor of the base learning rate for each update, counted from 0."""

    steps_per_epoch: int
    total_steps: int
    warmup_epochs: Duration = 0

    def __call__(self, step: int) -> float:
        """The factor used by update `step`."""
        warmup_steps = self.steps(self.warmup_epochs)
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return self.after_warmup(step - warmup_steps, max(1, self.total_steps - warmup_steps))

    def after_warmup(self, step: int, num_steps: int) -> float:
        """The factor at `step` of the `num_steps` that follow the warm-up."""
        raise NotImplementedError

    def steps(self, duration: float | str) -> int:
        return duration_steps(duration, self.steps_per_epoch, self.total_steps)

    def epochs(self, step: int) -> float:
        return step / self.steps_per_epoch


@dataclass(frozen=True, kw_only=True)
class Constant(Curve):
    """The base rate throughout."""

    def after_warmup(self, step: int, num_steps: int) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Step(Curve):
    """Multiplied by `gamma` every `step_epochs`: `lr = lr0 * gamma^floor(t / step)`."""

    step_epochs: Duration = 10
    gamma: Positive = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        return self.gamma ** (step // max(1, self.steps(self.step_epochs)))


@dataclass(frozen=True, kw_only=True)
class Cosine(Curve):
    """Half a cosine from the base rate to `min_factor` of it.

    `lr = lr0 * (min + (1 - min) * (1 + cos(pi t / T)) / 2)`. Source: Loshchilov and Hutter 2017, equation 5.
    """

    min_factor: Fraction = 0.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        progress = min(step / num_steps, 1.0)
        return self.min_factor + (1 - self.min_factor) * 0.5 * (1 + math.cos(math.pi * progress))
