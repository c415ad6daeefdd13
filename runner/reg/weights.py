"""Penalties on the size of the weights, added to the loss, and a bound on it.

Penalties touch the parameters that weight decay touches (`runner.decay`): the weights of linear and convolutional
layers. Biases, normalization layers and the slopes of PReLU only with `all_parameters`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from runner.constraints import NonNegative, Positive
from runner.decay import is_decayed
from runner.reg.regularizer import Regularizer


@dataclass
class Penalty(Regularizer):
    """`strength` times a sum over the weights."""

    strength: NonNegative = 5e-4
    all_parameters: bool = False

    def penalty(self, parameters: Mapping[str, Tensor]) -> Tensor:
        weights = [p for p in parameters.values() if self.all_parameters or is_decayed(p)]
        return self.strength * torch.stack([self.size(weight) for weight in weights]).sum()

    def size(self, weight: Tensor) -> Tensor:
        raise NotImplementedError


class L2(Penalty):
    """`strength * sum W^2`. AlexNet's strength is 5e-4."""

    def size(self, weight: Tensor) -> Tensor:
        return weight.square().sum()


@dataclass
class L1(Penalty):
    """`strength * sum |W|`."""

    strength: NonNegative = 1e-5

    def size(self, weight: Tensor) -> Tensor:
        return weight.abs().sum()


@dataclass
class ElasticNet(Penalty):
    """`strength * sum (beta * W^2 + |W|)`. Source: Zou and Hastie 2005."""

    strength: NonNegative = 1e-5
    beta: NonNegative = 1.0

    def size(self, weight: Tensor) -> Tensor:
        return self.beta * weight.square().sum() + weight.abs().sum()


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

    @torch.no_grad()
    def project_stacked(self, weights_TO: Tensor) -> None:
        """The same for one weight of T trials [T, out, ...], by one call; `max_norm` may be each trial's own [T]."""
        norms = torch.linalg.vector_norm(weights_TO.flatten(2), dim=2)
        most: Any = self.max_norm
        most = most.to(norms.dtype)[:, None] if isinstance(most, Tensor) else most
        factors = torch.where(norms > most, most / (norms + 1e-7), 1.0)  # as renorm has it
        weights_TO.mul_(factors[(..., *[None] * (weights_TO.ndim - 2))])
