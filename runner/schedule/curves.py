"""Curves of the learning rate: pure functions of the update number, as factors of the base rate.

A curve takes plain numbers and gives plain numbers, so vectorized trials evaluate one curve a trial.
`steps_per_epoch` and `total_steps` are filled in from the data and the engine. Every curve may start with a linear
warm-up over `warmup_epochs`, during which it rises from 1/n to 1 of the base rate in n steps (Goyal et al. 2017);
the curve proper begins after it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.constraints import Duration, Fraction, NonNegative, NonNegativeInt, Positive, duration_steps


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

    @property
    def is_cyclic(self) -> bool:
        """Whether the rate falls to a bottom again and again."""
        return False

    def is_bottom(self, step: int) -> bool:
        """Whether update `step` is the last of a period; of a curve without periods none is."""
        return False

    def observe(self, metric: float, epoch: int | None = None) -> None:
        """Take note of the objective after so many epochs; None: one more than last time. Only `Plateau` reacts."""

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
class MultiStep(Curve):
    """Multiplied by `gamma` at each of the `milestones_epochs`, counted after the warm-up."""

    milestones_epochs: Sequence[Duration] = ("50%", "75%")
    gamma: Positive = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        return self.gamma ** sum(step >= self.steps(milestone) for milestone in self.milestones_epochs)


@dataclass(kw_only=True)
class Linear(Curve):
    """In a straight line from the base rate to `min_factor` of it: `lr = lr0 * (min + (1 - min) * (1 - t / T))`."""

    min_factor: Fraction = 0.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        return self.min_factor + (1 - self.min_factor) * (1 - min(step / num_steps, 1.0))


@dataclass(kw_only=True)
class Polynomial(Curve):
    """`lr = lr0 * (min + (1 - min) * (1 - t / T)^power)`, with `min_factor` min. Source: Chen et al. 2016 (DeepLab)."""

    power: Positive = 0.9
    min_factor: Fraction = 0.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        return self.min_factor + (1 - self.min_factor) * (1 - min(step / num_steps, 1.0)) ** self.power


@dataclass(kw_only=True)
class WSD(Curve):
    """Warm-up, stable, decay: the base rate until the last `decay_epochs`, over which it falls to `min_factor` of it.

    With u the part of the decay that is over, `shape` linear falls by u, sqrt by the square root of u, which is fast at
    first, and cosine along half a cosine. Source: Hu et al. 2024 (MiniCPM); Haegele et al. 2024, arXiv 2405.18392, who
    compare the shapes.
    """

    warmup_epochs: Duration = "5%"
    decay_epochs: Duration = "20%"
    shape: Literal["linear", "sqrt", "cosine"] = "linear"
    min_factor: Fraction = 0.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        length = min(self.steps(self.decay_epochs), num_steps)
        since = step - (num_steps - length)
        if since < 0:
            return 1.0
        u = min(since / length, 1.0) if length else 1.0
        fallen = {"linear": u, "sqrt": math.sqrt(u), "cosine": (1 - math.cos(math.pi * u)) / 2}[self.shape]
        return 1 - (1 - self.min_factor) * fallen


@dataclass(kw_only=True)
class Exponential(Curve):
    """`lr = lr0 * exp(-decay_rate * t)`, with t in epochs."""

    decay_rate: NonNegative = 0.1

    def after_warmup(self, step: int, num_steps: int) -> float:
        return math.exp(-self.decay_rate * step / self.steps_per_epoch)


@dataclass(kw_only=True)
class InverseTime(Curve):
    """`lr = lr0 / (1 + decay_rate * t)`, with t in epochs."""

    decay_rate: NonNegative = 1.0

    def after_warmup(self, step: int, num_steps: int) -> float:
        return 1 / (1 + self.decay_rate * step / self.steps_per_epoch)


@dataclass(kw_only=True)
class Plateau(Curve):
    """Multiplied by `factor` at the first evaluation more than `patience_epochs` after the last improvement or drop.

    An improvement is one by more than `threshold` of the best value. `mode` is the objective's. Source: the practice of
    AlexNet and ResNet; as torch's ReduceLROnPlateau, but in epochs however seldom there is an evaluation.
    """

    mode: Literal["max", "min"] = "max"
    factor: Fraction = 0.1
    patience_epochs: NonNegativeInt = 5
    threshold: NonNegative = 1e-4
    min_factor: Fraction = 0.0
    # What has been observed: `since` is the epoch of the last improvement or drop, `epoch` that of the last evaluation.
    _observed: dict[str, Any] = field(
        default_factory=lambda: {"factor": 1.0, "best": None, "since": 0, "epoch": 0}, init=False
    )

    def after_warmup(self, step: int, num_steps: int) -> float:
        return float(self._observed["factor"])

    def observe(self, metric: float, epoch: int | None = None) -> None:
        observed = self._observed
        epoch = observed["epoch"] + 1 if epoch is None else epoch
        observed["epoch"] = epoch
        if self._improves(metric, observed["best"]):
            observed.update(best=metric, since=epoch)
        elif epoch - observed["since"] > self.patience_epochs:
            observed.update(factor=max(observed["factor"] * self.factor, self.min_factor), since=epoch)

    def _improves(self, metric: float, best: float | None) -> bool:
        if best is None:
            return not math.isnan(metric)
        margin = self.threshold * abs(best)
        return metric > best + margin if self.mode == "max" else metric < best - margin

    def state_dict(self) -> dict[str, Any]:
        return dict(self._observed)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._observed = dict(state)
