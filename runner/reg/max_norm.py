"""A bound on the weights of each unit."""

from dataclasses import dataclass

import torch
from torch import nn

from runner.constraints import Positive
from runner.reg.regularizer import Regularizer


@dataclass
class MaxNorm(Regularizer):
    """After every update, scales each unit's incoming weights down to a Euclidean norm of at most `max_norm`.

    A unit is an output of a linear layer or an output channel of a convolution. Source: Srivastava et al. 2014, 5.1.
    """

    max_norm: Positive = 3.0

    @torch.no_grad()
    def project_weights(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            if parameter.ndim > 1 and parameter.requires_grad:
                parameter.renorm_(2, 0, self.max_norm)
