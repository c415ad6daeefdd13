"""Activations by name, and what a layer must do to be followed by one.

A name may carry a number: `leaky_relu:0.1` has that slope below 0, `elu:0.5` that alpha. All but maxout act on each
element. Maxout takes two numbers for each one it gives, so the layer before it has twice the outputs: make such layers
with `runner.model.blocks`, or multiply their outputs by `copies(name)`.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn

from runner.constraints import Bounds, Words
from runner.errors import UserError

NAMES = ("relu", "sigmoid", "tanh", "leaky_relu", "prelu", "elu", "maxout", "gelu", "silu", "identity")
FORM = Words(NAMES, (("leaky_relu", Bounds(0, 1)), ("elu", Bounds(0, low_open=True))))
ActivationName = Annotated[str, FORM]


class Identity(nn.Module):
    """No activation: stacked linear layers are one linear layer. A leaky ReLU of slope 1, to an initialization."""

    negative_slope = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x


class Maxout(nn.Module):
    """`max(W1 x + b1, W2 x + b2)` of a layer [B, 2 C, ...] that holds both: W1 in its first C outputs, W2 in the rest.

    Source: Goodfellow et al. 2013, Maxout Networks, with two pieces.
    """

    def forward(self, pieces: Tensor) -> Tensor:
        first, second = pieces.chunk(2, dim=1)
        return torch.maximum(first, second)


_MAKERS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": lambda slope=0.01: nn.LeakyReLU(slope),
    "prelu": nn.PReLU,  # one learned slope a layer, 0.25 at first
    "elu": lambda alpha=1.0: nn.ELU(alpha),
    "maxout": Maxout,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "identity": Identity,
}


def activation(name: ActivationName) -> nn.Module:
    """A fresh activation layer.

    Raises:
        UserError: there is none of that name, or its number is out of bounds.
    """
    try:
        word, number = FORM.parse(name)
    except ValueError as error:
        raise UserError(f"model.activation: {error}") from None
    return _MAKERS[word]() if number is None else _MAKERS[word](number)


def copies(name: ActivationName) -> int:
    """How many outputs of the layer before make one of this activation's: 2 for maxout, else 1."""
    return 2 if name == "maxout" else 1


def swap_relu(network: nn.Module, name: ActivationName) -> None:
    """Put another activation in the place of each ReLU layer of a built network.

    Raises:
        UserError: it is maxout, which needs wider layers before it.
    """
    if name == "relu":
        return
    if name == "maxout":
        raise UserError(
            "model.activation: maxout doubles the layers before it, which torchvision's network cannot; choose another "
            "activation, or a network that can: mlp, convnet, alexnet, zfnet, vgg, googlenet, inception_v3, "
            "inception_v4, resnet of depth 20, 32, 44, 56 or 110"
        )
    for module in list(network.modules()):
        for key, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, key, activation(name))
