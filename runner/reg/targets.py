"""Regularisers that act on the targets."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from runner.constraints import Probability
from runner.reg.regularizer import Regulariser


@dataclass
class LabelSmoothing(Regulariser):
    """`(1 - smoothing) * onehot + smoothing / K`. Source: Szegedy et al. 2016, section 7."""

    smoothing: Probability = 0.1

    def soften(self, targets: Tensor) -> Tensor:
        return targets * (1 - self.smoothing) + self.smoothing / targets.shape[-1]
