"""Fully connected networks."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from runner.constraints import PositiveInt
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
