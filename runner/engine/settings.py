"""How long and how to train: the keys of the group `engine`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runner.constraints import Count, NonNegative, Positive, PositiveCount
from runner.statistics import direction

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
Compile = Literal[False, True, "reduce-overhead", "max-autotune"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one training run; configs/engine/default.yaml says what each does."""

    epochs: PositiveCount = 20
    max_steps: PositiveCount | None = None
    limit_batches: PositiveCount | None = None
    eval_every_epochs: PositiveCount = 1
    pause_epoch: PositiveCount | None = None
    patience: PositiveCount | None = None
    divergence_factor: Positive = 3.0
    device: str = "auto"
    precision: PrecisionName = "auto"
    channels_last: bool | None = None
    compile: Compile = False
    deterministic: bool = False
    threads: Count = 0
    clip_norm: Positive | None = None
    accumulate_steps: PositiveCount = 1
    checkpoint_every_epochs: PositiveCount = 1
    checkpoint_every_steps: Count = 0
    checkpoint_every_seconds: NonNegative = 0
    snapshot_every_epochs: Count = 0


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The metric that decides which epoch is best, and which way is better. `auto`: less of a loss, else more."""

    name: Literal["val/accuracy", "val/loss", "train/accuracy", "train/loss"] = "val/accuracy"
    mode: Literal["auto", "max", "min"] = "auto"

    def __post_init__(self) -> None:
        if self.mode == "auto":
            object.__setattr__(self, "mode", direction(self.name) or "max")

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` beats `than`; anything beats None, and NaN beats nothing."""
        if value != value:
            return False
        return than is None or (value > than if self.mode == "max" else value < than)
