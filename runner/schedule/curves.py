"""Curves of the learning rate: pure functions of the update number, as factors of the base rate.

A curve takes plain numbers and gives plain numbers, so a stack of trials evaluates one curve a trial.
`steps_per_epoch` and `total_steps` are filled in from the data and the engine. Every curve may start with a linear
warm-up over `warmup_epochs`, during which it rises from 1/n to 1 of the base rate in n steps (Goyal et al. 2017);
the curve proper begins after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.constraints import Count, Duration, Fraction, NonNegative, Positive, duration_steps


@dataclass(kw_only=True)
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

    def observe(self, metric: float) -> None:
        """Take note of the objective after an epoch. Only `Plateau` reacts to it."""

    def state_dict(self) -> dict[str, Any]:
        """What has been observed, as plain data."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass

    def steps(self, duration: float | str) -> int:
        return duration_steps(duration, self.steps_per_epoch, self.total_steps)

    def period(self, duration: float | str) -> int:
        """A duration that is divided by: at least a step."""
        return max(1, self.steps(duration))


@dataclass(kw_only=True)
class Constant(Curve):
    """The base rate throughout."""

    def after_warmup(self, step: int, num_steps: int) -> float:
        return 1.0


@dataclass(kw_only=True)
class Step(Curve):
    """Multiplied by `gamma` every `step_epochs`: `lr = lr0 * gamma^floor(t / step)`."""

    step_epochs: Duration = 10
    gamma: Positive = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        return self.gamma ** (step // self.period(self.step_epochs))


@dataclass(kw_only=True)
class Every(Step):
    """The same with GoogLeNet's numbers: 4% less every 8 epochs. Source: Szegedy et al. 2015, section 6."""

    step_epochs: Duration = 8
    gamma: Positive = 0.96


@dataclass(kw_only=True)
class MultiStep(Curve):
    """Multiplied by `gamma` at each of the `milestones_epochs`, counted after the warm-up."""

    milestones_epochs: Sequence[Duration] = ("50%", "75%")
    gamma: Positive = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        return self.gamma ** sum(step >= self.steps(milestone) for milestone in self.milestones_epochs)


@dataclass(kw_only=True)
class Exponential(Curve):
    """`lr = lr0 * exp(-k t)`, with t in epochs."""

    k: NonNegative = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        return math.exp(-self.k * step / self.steps_per_epoch)


@dataclass(kw_only=True)
class InverseTime(Curve):
    """`lr = lr0 / (1 + k t)`, with t in epochs."""

    k: NonNegative = 1.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        return 1 / (1 + self.k * step / self.steps_per_epoch)


@dataclass(kw_only=True)
class Plateau(Curve):
    """Multiplied by `factor` whenever the objective has not improved for `patience_epochs` evaluations.

    An improvement is one by more than `threshold` of the best value. `mode` is the objective's. The patience starts
    anew after each drop. Source: the practice of AlexNet and ResNet; as torch's ReduceLROnPlateau, per evaluation.
    """

    mode: Literal["max", "min"] = "max"
    factor: Fraction = 0.1
    patience_epochs: Count = 5
    threshold: NonNegative = 1e-4
    min_factor: Fraction = 0.0
    _standing: dict[str, Any] = field(default_factory=lambda: {"factor": 1.0, "best": None, "waited": 0}, init=False)

    def after_warmup(self, step: int, num_steps: int) -> float:
        return float(self._standing["factor"])

    def observe(self, metric: float) -> None:
        standing = self._standing
        if self._improves(metric, standing["best"]):
            standing.update(best=metric, waited=0)
            return
        standing["waited"] += 1
        if standing["waited"] > self.patience_epochs:
            standing.update(factor=max(standing["factor"] * self.factor, self.min_factor), waited=0)

    def _improves(self, metric: float, best: float | None) -> bool:
        if best is None:
            return not math.isnan(metric)
        margin = self.threshold * abs(best)
        return metric > best + margin if self.mode == "max" else metric < best - margin

    def state_dict(self) -> dict[str, Any]:
        return dict(self._standing)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._standing = dict(state)
