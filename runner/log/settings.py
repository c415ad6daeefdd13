"""What is watched and how often: the keys of the group `log`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runner.constraints import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Settings of the observers; configs/log/default.yaml says what each does."""

    every_steps: PositiveInt = 50
    tensorboard: bool = True
    histograms: Literal["auto", True, False] = "auto"
    num_images: NonNegativeInt = 32
    figures: bool = True
    observers: Sequence[Mapping[str, Any]] = ()
    doctor: bool = True
    progress: Literal["auto", "live", "lines", "none"] = "auto"
