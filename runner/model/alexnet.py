"""AlexNet (Krizhevsky et al. 2012) and ZFNet (Zeiler and Fergus 2013): five convolutions, three fully connected layers.

For small images (`stem` cifar, or auto up to 64 pixels) every convolution has stride 1, the first is 3x3, and each
pooling halves the map, rounding up: they take images of any size.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import nn

from runner.constraints import FractionBelowOne, Positive
from runner.errors import UserError
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import Classic, ResponseNorm, Stem, is_small, scaled

POOLED_SIZE = 6  # of the map that the first fully connected layer sees
HIDDEN = 4096


class Row(NamedTuple):
    """A convolution and what follows its activation."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 1
    norm: bool = False  # local response normalization
    pool: bool = False  # 3x3 max pooling, stride 2


ROWS_2014 = (
    Row(64, 11, 4, 2, pool=True),
    Row(192, 5, 1, 2, pool=True),
    Row(384, 3),
    Row(256, 3),
    Row(256, 3, pool=True),
)
ROWS_2012 = (
    Row(96, 11, 4, 2, norm=True, pool=True),
    Row(256, 5, 1, 2, norm=True, pool=True),
    Row(384, 3),
    Row(384, 3),
    Row(256, 3, pool=True),
)
ROWS_ZFNET = (
    Row(96, 7, 2, 1, norm=True, pool=True),
    Row(256, 5, 2, 0, norm=True, pool=True),
    Row(512, 3),
    Row(1024, 3),
    Row(512, 3, pool=True),
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
    rows = ROWS_2012 if variant == 2012 else ROWS_2014
    small = _small(stem, image_size, 63, "AlexNet")
    features = _features(in_channels, rows, activation, width, small, ceil_mode=False)
    return _classic(features, rows, image_size, small, num_classes, activation, dropout, width, first=variant == 2014)


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
    small = _small(stem, image_size, 47, "ZFNet")
    features = _features(in_channels, ROWS_ZFNET, activation, width, small, ceil_mode=True)
    return _classic(features, ROWS_ZFNET, image_size, small, num_classes, activation, dropout, width, first=False)


def _small(stem: Stem, image_size: int, smallest: int, name: str) -> bool:
    small = is_small(stem, image_size)
    if not small and image_size < smallest:
        raise UserError(
            f"data.image_size: {name} takes images of {smallest} pixels or more, not {image_size}; "
            "enlarge them or use model.stem=cifar"
        )
    return small


def _features(
    in_channels: int, rows: Sequence[Row], name: ActivationName, width: float, small: bool, ceil_mode: bool
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index, row in enumerate(rows):
        out_channels = scaled(row.channels, width)
        if small:
            layers += blocks.conv(in_channels, out_channels, row.kernel if index else 3, name)
        else:
            layers += blocks.conv(in_channels, out_channels, row.kernel, name, stride=row.stride, padding=row.padding)
        if row.norm:
            layers.append(ResponseNorm())
        if row.pool:
            layers.append(nn.MaxPool2d(3, 2, padding=1) if small else nn.MaxPool2d(3, 2, ceil_mode=ceil_mode))
        in_channels = out_channels
    return layers


def _classic(
    features: Sequence[nn.Module],
    rows: Sequence[Row],
    image_size: int,
    small: bool,
    num_classes: int,
    name: ActivationName,
    dropout: float,
    width: float,
    first: bool,
) -> Classic:
    """The network of those features; `first` puts dropout before each hidden layer, else it comes after."""
    map_size = -(-image_size // 2 ** sum(row.pool for row in rows))
    pooled_size = min(POOLED_SIZE, map_size) if small else POOLED_SIZE
    hidden = scaled(HIDDEN, width)
    classifier: list[nn.Module] = []
    fan_in = scaled(rows[-1].channels, width) * pooled_size**2
    for _ in range(2):
        layers, noise = blocks.linear(fan_in, hidden, name), nn.Dropout(dropout)
        classifier += [noise, *layers] if first else [*layers, noise]
        fan_in = hidden
    return Classic(features, pooled_size, [*classifier, nn.Linear(hidden, num_classes)])
