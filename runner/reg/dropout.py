"""Dropout and DropConnect, attached to the layers of any network."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from runner.constraints import FractionBelowOne
from runner.reg.layers import LayerKind, hidden_layers
from runner.reg.regularizer import Regularizer


@dataclass
class Dropout(Regularizer):
    """Zeroes the inputs of hidden layers with probability `p` while training. Source: Srivastava et al. 2014.

    `layers`: `linear`, the inputs of fully connected layers; `conv`, whole channels before convolutions; or `both`.
    `form`: `inverted` divides by 1-p in training; `vanilla` leaves training as it is and multiplies by 1-p at test.
    The first layer of the network, which sees the picture itself, is left alone. No parameter is renamed.
    """

    draws_noise: ClassVar[bool] = True

    p: FractionBelowOne = 0.5
    layers: LayerKind = "linear"
    form: Literal["inverted", "vanilla"] = "inverted"

    def attach(self, network: nn.Module) -> None:
        for layer in hidden_layers(network, self.layers, "reg.dropout.layers"):
            whole_channels = not isinstance(layer, nn.Linear)
            layer.input_dropout = InputDropout(self.p, whole_channels, self.form == "inverted")
            layer.register_forward_pre_hook(_drop_input)


class InputDropout(nn.Module):
    """Dropout of elements of [B, ...], or of channels of [B, C, H, W]."""

    def __init__(self, p: float, whole_channels: bool, inverted: bool) -> None:
        super().__init__()
        self.p = p
        self.whole_channels = whole_channels
        self.inverted = inverted

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x if self.inverted else x * (1 - self.p)
        dropped = F.dropout2d(x, self.p) if self.whole_channels else F.dropout(x, self.p)
        return dropped if self.inverted else dropped * (1 - self.p)

    def extra_repr(self) -> str:
        form = "inverted" if self.inverted else "vanilla"
        return f"p={self.p}, {form}{', whole channels' if self.whole_channels else ''}"


def _drop_input(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    # Through `layer`, not a closure: a deep copy of the network then uses its own dropout.
    dropout = layer.input_dropout
    assert isinstance(dropout, nn.Module)
    first: Tensor = dropout(args[0])
    return (first, *args[1:])


@dataclass
class DropConnect(Regularizer):
    """Zeroes weights, not activations, with probability `p` while training, and divides the others by 1-p.

    One mask a batch, where the paper draws one an image; at test all weights, whose mean the training weights have.
    Biases are left alone. The parameter `weight` becomes `parametrizations.weight.original`.
    Source: Wan et al. 2013.
    """

    draws_noise: ClassVar[bool] = True

    p: FractionBelowOne = 0.5
    layers: LayerKind = "linear"

    def attach(self, network: nn.Module) -> None:
        for layer in hidden_layers(network, self.layers, "reg.dropconnect.layers"):
            parametrize.register_parametrization(layer, "weight", WeightDropout(self.p))


class WeightDropout(nn.Module):
    """Dropout of a weight, as a parametrization of it."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, weight: Tensor) -> Tensor:
        return F.dropout(weight, self.p, self.training)

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight
