"""Which metric is optimized, and which way it is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["max", "min"]
TrainingMetric = Literal["val/accuracy", "val/loss", "train/accuracy", "train/loss"]


def direction(metric: str) -> Mode | None:
    """Whether more or less of a metric is better, by its name; None where the name does not tell."""
    if "accuracy" in metric or metric == "images_per_second":
        return "max"
    return "min" if "loss" in metric or "error" in metric else None


@dataclass(frozen=True)
class Objective:
    """A metric with its direction."""

    name: str
    mode: Mode

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` beats `than`; any number beats None, and NaN beats nothing."""
        if value != value:
            return False
        return than is None or (value > than if self.mode == "max" else value < than)

    def best(self, values: Iterable[float]) -> float | None:
        """The best value; None where there are none."""
        return (max if self.mode == "max" else min)(values, default=None)

    def worst(self, values: Iterable[float]) -> float | None:
        """The worst value; None where there are none."""
        return (min if self.mode == "max" else max)(values, default=None)

    def order(self, value: float) -> float:
        """A sort key: the better a value, the lower."""
        return -value if self.mode == "max" else value


def training_objective(
    name: TrainingMetric = "val/accuracy", mode: Literal["auto", "max", "min"] = "auto"
) -> Objective:
    """The objective of a run, which decides its best epoch. `auto`: less of a loss is better, more of the rest."""
    return Objective(name, direction(name) or "max" if mode == "auto" else mode)
