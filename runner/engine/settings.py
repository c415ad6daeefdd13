"""How long and how to train: the keys of the group `engine`."""

from dataclasses import dataclass
from typing import Literal

from runner.constraints import NonNegative, NonNegativeInt, Positive, PositiveInt, Time

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
Compile = Literal[False, True, "reduce-overhead", "max-autotune", "graph"]
Keep = Literal["all", "resumable", "weights"]
OnOom = Literal["fail", "shrink"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one training run; configs/engine/default.yaml says what each does."""

    epochs: PositiveInt = 20
    max_steps: PositiveInt | None = None
    max_time: Time | None = None
    limit_batches: PositiveInt | None = None
    eval_every_epochs: PositiveInt = 1
    patience: PositiveInt | None = None
    divergence_factor: Positive = 3.0
    device: str = "auto"
    precision: PrecisionName = "auto"
    channels_last: bool | None = None
    compile: Compile = False
    deterministic: bool = False
    num_threads: NonNegativeInt = 0
    clip_grad_norm: Positive | None = None
    accumulate_steps: PositiveInt = 1
    on_oom: OnOom = "fail"
    checkpoint_every_epochs: PositiveInt = 1
    checkpoint_every_steps: NonNegativeInt = 0
    checkpoint_every_seconds: NonNegative | Literal["auto"] = "auto"
    snapshot_every_epochs: NonNegativeInt = 0
    keep: Keep = "resumable"
