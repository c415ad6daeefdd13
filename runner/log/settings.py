"""What is watched and how often: the keys of the group `log`."""

from dataclasses import dataclass
from typing import Literal

from runner.constraints import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Settings of the observers; configs/log/default.yaml says what each does."""

    every_steps: PositiveInt = 50
    tensorboard: bool = True
    histograms: Literal["auto", True, False] = "auto"
    num_images: NonNegativeInt = 32
    progress: Literal["auto", "live", "lines", "none"] = "auto"
