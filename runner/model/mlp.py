"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from runner.model.activation import ActivationName, activation
from runner.quantity import PositiveCount


class Linear(nn.Sequential):
    """The linear classifier `s = W x + b` on raw pixels."""

    def __init__(self, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))


class MLP(nn.Sequential):
    """Fully connected layers of the widths `hidden`, each followed by the activation, then the class scores."""

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        hidden: Sequence[PositiveCount] = (128, 128),
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__(
            *_layers([in_channels * image_size**2, *hidden], activation), nn.Linear(hidden[-1], num_classes)
        )


def _layers(widths: Sequence[int], name: ActivationName) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation(name)]
    return layers
