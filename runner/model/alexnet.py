"""AlexNet (Krizhevsky et al. 2012) and ZFNet (Zeiler and Fergus 2013): five convolutions, three fully connected layers.

For small images (`stem` cifar, or auto up to 64 pixels) every convolution has stride 1, the first is 3x3, and each
pooling halves the map, rounding up: they take images of any size.
"""

from typing import Literal, NamedTuple

from torch import nn

from runner.constraints import FractionBelowOne, Positive
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import Classic, ResponseNorm, Stem, is_small, scaled

POOLED_SIZE = 6  # of the map that the first fully connected layer sees


class Row(NamedTuple):
    """A convolution and what follows its activation."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 1
    norm: bool = False  # local response normalization
    pool: bool = False  # 3x3 max pooling, stride 2


class Plan(NamedTuple):
    """A published network."""

    name: str
    smallest: int  # image that it takes, in pixels
    rows: tuple[Row, ...]
    ceil_mode: bool = False  # of its poolings
    dropout_first: bool = False  # dropout before each hidden layer, else after it


ALEXNET_2014 = Plan(
    "AlexNet",
    63,
    (Row(64, 11, 4, 2, pool=True), Row(192, 5, 1, 2, pool=True), Row(384, 3), Row(256, 3), Row(256, 3, pool=True)),
    dropout_first=True,
)
ALEXNET_2012 = Plan(
    "AlexNet",
    63,
    (
        *(Row(96, 11, 4, 2, norm=True, pool=True), Row(256, 5, 1, 2, norm=True, pool=True)),
        *(Row(384, 3), Row(384, 3), Row(256, 3, pool=True)),
    ),
)
ZFNET = Plan(
    "ZFNet",
    47,
    (
        *(Row(96, 7, 2, 1, norm=True, pool=True), Row(256, 5, 2, 0, norm=True, pool=True)),
        *(Row(512, 3), Row(1024, 3), Row(512, 3, pool=True)),
    ),
    ceil_mode=True,
)


def alexnet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    variant: Literal[2012, 2014] = 2014,
    activation: ActivationName = "relu",
    dropout: FractionBelowOne = 0.5,
    width: Positive = 1.0,
    stem: Stem = "auto",
) -> nn.Module:
    """AlexNet. The two variants:

    2014: torchvision's network, the single column of 64, 192, 384, 256, 256 maps without normalization, dropout on the
    inputs of the first two fully connected layers. Source: Krizhevsky 2014, One weird trick, arXiv 1404.5997.
    2012: the lectures' network, 96, 256, 384, 384, 256 maps with local response normalization, dropout on the outputs
    of those layers. Source: Krizhevsky et al. 2012. Where we differ: its convolutions see all maps of the layer before,
    not the half that lived on their GPU, so it has 62.4 M parameters for the paper's 61.0 M.
    """
    plan = ALEXNET_2012 if variant == 2012 else ALEXNET_2014
    return _built(plan, in_channels, image_size, num_classes, activation, dropout, width, stem)


def zfnet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    activation: ActivationName = "relu",
    dropout: FractionBelowOne = 0.5,
    width: Positive = 1.0,
    stem: Stem = "auto",
) -> nn.Module:
    """ZFNet: AlexNet with a 7x7 stride 2 first layer and 512, 1024, 512 maps in the last three convolutions.

    Source: Zeiler and Fergus 2013, arXiv 1311.2901, in the lectures' widths. Where we differ: local response
    normalization stands for its contrast normalization.
    """
    return _built(ZFNET, in_channels, image_size, num_classes, activation, dropout, width, stem)


def _built(
    plan: Plan,
    in_channels: int,
    image_size: int,
    num_classes: int,
    activation: ActivationName,
    dropout: float,
    width: float,
    stem: Stem,
) -> Classic:
    small = is_small(stem, image_size, plan.name, plan.smallest)
    layers: list[nn.Module] = []
    channels, size = in_channels, image_size
    for index, row in enumerate(plan.rows):
        outputs = scaled(row.channels, width)
        if small:
            layers += blocks.conv(channels, outputs, row.kernel if index else 3, activation)
        else:
            layers += blocks.conv(channels, outputs, row.kernel, activation, stride=row.stride, padding=row.padding)
        channels = outputs
        if row.norm:
            layers.append(ResponseNorm())
        if row.pool:
            layers.append(nn.MaxPool2d(3, 2, padding=1) if small else nn.MaxPool2d(3, 2, ceil_mode=plan.ceil_mode))
            size = -(-size // 2)
    pooled_size = min(POOLED_SIZE, size) if small else POOLED_SIZE
    return Classic(layers, channels, pooled_size, num_classes, activation, dropout, width, plan.dropout_first)
