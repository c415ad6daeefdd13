"""Activations by name, and what a layer must do to be followed by one.

All but maxout act on each element. Maxout takes two numbers for each one it gives, so the layer before it has twice the
outputs: make such layers with `runner.model.blocks`, or multiply their outputs by `copies(name)`.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from runner.errors import UserError

ActivationName = Literal["relu", "sigmoid", "tanh", "leaky_relu", "prelu", "elu", "maxout", "gelu", "silu"]


class Maxout(nn.Module):
    """`max(W1 x + b1, W2 x + b2)` of a layer [B, 2 C, ...] that holds both: W1 in its first C outputs, W2 in the rest.

    Source: Goodfellow et al. 2013, Maxout Networks, with two pieces.
    """

    def forward(self, pieces: Tensor) -> Tensor:
        first, second = pieces.chunk(2, dim=1)
        return torch.maximum(first, second)


_MAKERS: dict[ActivationName, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "prelu": nn.PReLU,  # one learned slope a layer, 0.25 at first
    "elu": nn.ELU,  # alpha 1
    "maxout": Maxout,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def activation(name: ActivationName) -> nn.Module:
    """A fresh activation layer."""
    return _MAKERS[name]()


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
