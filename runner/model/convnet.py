"""The small convolutional network of the exercises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from runner.model.activation import ActivationName, activation
from runner.quantity import PositiveCount


class ConvNet(nn.Sequential):
    """A stage for each of `channels`: 3x3 convolution, normalisation, activation, 2x2 max pooling while it fits.

    Then one fully connected layer of width `hidden` (0 for none) and the class scores.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        channels: Sequence[PositiveCount] = (32, 64),
        hidden: int = 128,
        activation: ActivationName = "relu",
        norm: Literal["batch", "none"] = "batch",
    ) -> None:
        layers, size, width = _stages(in_channels, image_size, channels, activation, norm)
        layers.append(nn.Flatten())
        features = width * size**2
        if hidden:
            layers += [nn.Linear(features, hidden), _activation(activation)]
            features = hidden
        super().__init__(*layers, nn.Linear(features, num_classes))


_activation = activation  # the constructor's argument of that name hides it


def _stages(
    in_channels: int, size: int, channels: Sequence[int], name: ActivationName, norm: str
) -> tuple[list[nn.Module], int, int]:
    layers: list[nn.Module] = []
    width = in_channels
    for out_channels in channels:
        layers.append(nn.Conv2d(width, out_channels, 3, padding=1, bias=norm == "none"))
        if norm == "batch":
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(activation(name))
        if size >= 4:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        width = out_channels
    return layers, size, width
