"""The small networks of the exercises: linear, fully connected, convolutional."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from runner.constraints import NonNegativeInt, PositiveInt
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import Norm


class Linear(nn.Sequential):
    """The linear classifier `s = W x + b` on raw pixels."""

    def __init__(self, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))


class MLP(nn.Sequential):
    """Fully connected layers of the widths `hidden`, each with its normalization and activation, then class scores."""

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        hidden: Sequence[PositiveInt] = (128, 128),
        activation: ActivationName = "relu",
        norm: Norm = "none",
    ) -> None:
        widths = [in_channels * image_size**2, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise(widths):
            layers += blocks.linear(fan_in, fan_out, activation, norm)
        super().__init__(*layers, nn.Linear(widths[-1], num_classes))


class ConvNet(nn.Sequential):
    """A stage for each of `channels`: 3x3 convolution, normalization, activation, 2x2 max pooling while it fits.

    Then one fully connected layer of width `hidden` (0 for none) and the class scores.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        channels: Sequence[PositiveInt] = (32, 64),
        hidden: NonNegativeInt = 128,
        activation: ActivationName = "relu",
        norm: Norm = "batch",
    ) -> None:
        layers: list[nn.Module] = []
        size, width = image_size, in_channels
        for out_channels in channels:
            layers += blocks.conv(width, out_channels, 3, activation, norm)
            if size >= 4:
                layers.append(nn.MaxPool2d(2))
                size //= 2
            width = out_channels
        layers.append(nn.Flatten())
        features = width * size**2
        if hidden:
            layers += blocks.linear(features, hidden, activation)
            features = hidden
        super().__init__(*layers, nn.Linear(features, num_classes))
