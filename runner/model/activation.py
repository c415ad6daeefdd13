"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

ActivationName = Literal["relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu"]

_MAKERS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def activation(name: ActivationName) -> nn.Module:
    """A fresh activation layer."""
    return _MAKERS[name]()
