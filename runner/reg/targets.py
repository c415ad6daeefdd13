"""Regularizers that act on the targets."""

from dataclasses import dataclass

from torch import Tensor

from runner.constraints import FractionBelowOne
from runner.reg.regularizer import Regularizer


@dataclass
class LabelSmoothing(Regularizer):
    """`(1 - smoothing) * onehot + smoothing / K`. Source: Szegedy et al. 2016, section 7."""

    smoothing: FractionBelowOne = 0.1

    def transform_targets(self, targets: Tensor) -> Tensor:
        return targets * (1 - self.smoothing) + self.smoothing / targets.shape[-1]
