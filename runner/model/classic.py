"""AlexNet (Krizhevsky et al. 2012), ZFNet (Zeiler and Fergus 2013) and VGG (Simonyan and Zisserman 2014).

Convolutions, then three fully connected layers. AlexNet and ZFNet have five convolutions; for small images (`stem`
cifar, or auto up to 64 pixels) each has stride 1, the first is 3x3, and each pooling halves the map, rounding up: they
take images of any size.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from runner.constraints import FractionBelowOne, Positive
from runner.errors import UserError
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import SMALL_IMAGE, Norm, PoolTo, ResponseNorm, Stem, is_small, scaled

HIDDEN = 4096  # features of the hidden layers
POOLED_SIZE = 6  # of the map that the first fully connected layer sees; 7 in VGG


class Row(NamedTuple):
    """A convolution and what follows its activation."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 1
    norm: bool = False  # local response normalization
    pool: bool = False  # 3x3 max pooling, stride 2
    parted: bool = False  # where the network has two columns, each sees its own maps alone


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
        *(Row(96, 11, 4, 2, norm=True, pool=True), Row(256, 5, 1, 2, norm=True, pool=True, parted=True)),
        *(Row(384, 3), Row(384, 3, parted=True), Row(256, 3, pool=True, parted=True)),
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
Order = Literal["norm_pool", "pool_norm"]
VGGDepth = Literal[11, 13, 16, 19]
VGG_CHANNELS = (64, 128, 256, 512, 512)  # of each stage
VGG_CONVOLUTIONS: dict[VGGDepth, tuple[int, ...]] = {  # in each stage
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def alexnet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    variant: Literal[2012, 2014] = 2014,
    activation: ActivationName = "relu",
    dropout: FractionBelowOne = 0.5,
    width: Positive = 1.0,
    stem: Stem = "auto",
    groups: Literal[1, 2] = 1,
    order: Order = "norm_pool",
) -> nn.Module:
    """AlexNet. The two variants:

    2014: torchvision's network, the single column of 64, 192, 384, 256, 256 maps without normalization, dropout on the
    inputs of the first two fully connected layers. Source: Krizhevsky 2014, One weird trick, arXiv 1404.5997.
    2012: the lectures' network, 96, 256, 384, 384, 256 maps with local response normalization, dropout on the outputs
    of those layers. Source: Krizhevsky et al. 2012. With `groups` 2 its second, fourth and fifth convolutions see half
    of the maps each, those that lived on their GPU: the paper's 61.0 M parameters. With 1 they see all: 62.4 M.
    `order` pool_norm normalizes after the pooling, as in the lectures' slides and Caffe; norm_pool before it, as in the
    paper.

    Raises:
        UserError: `groups` or `order` is meant for variant 2012, or the width gives an odd number of maps to halve.
    """
    if variant == 2014:
        for key, value, default in (("groups", groups, 1), ("order", order, "norm_pool")):
            if value != default:
                raise UserError(
                    f"model.{key}: {value} needs model.variant=2012; variant 2014 is one column without norm"
                )
    plan = ALEXNET_2012 if variant == 2012 else ALEXNET_2014
    return _built(plan, in_channels, image_size, num_classes, activation, dropout, width, stem, groups, order)


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
    groups: int = 1,
    order: Order = "norm_pool",
) -> nn.Module:
    small = is_small(stem, image_size, plan.name, plan.smallest)
    layers: list[nn.Module] = []
    channels, size = in_channels, image_size
    for index, row in enumerate(plan.rows):
        outputs = scaled(row.channels, width)
        parts = groups if row.parted else 1
        if channels % parts or outputs % parts:
            raise UserError(f"model.width: {width} gives {channels} and {outputs} maps, which groups=2 cannot halve")
        if small:
            layers += blocks.conv(channels, outputs, row.kernel if index else 3, activation, groups=parts)
        else:
            given: dict[str, Any] = {"stride": row.stride, "padding": row.padding, "groups": parts}
            layers += blocks.conv(channels, outputs, row.kernel, activation, **given)
        channels = outputs
        norms: list[nn.Module] = [ResponseNorm()] if row.norm else []
        pools: list[nn.Module] = []
        if row.pool:
            pools = [nn.MaxPool2d(3, 2, padding=1) if small else nn.MaxPool2d(3, 2, ceil_mode=plan.ceil_mode)]
            size = -(-size // 2)
        layers += pools + norms if order == "pool_norm" else norms + pools
    pooled_size = min(POOLED_SIZE, size) if small else POOLED_SIZE
    return Classic(layers, channels, pooled_size, num_classes, activation, dropout, width, plan.dropout_first)


def vgg(
    in_channels: int,
    image_size: int,
    num_classes: int,
    depth: VGGDepth = 16,
    norm: Norm = "none",
    activation: ActivationName = "relu",
    dropout: FractionBelowOne = 0.5,
    width: Positive = 1.0,
) -> nn.Module:
    """VGG by depth: configurations A, B, D and E of table 1, torchvision's network.

    Images of any size: a map smaller than 4x4 is not pooled further, for padded convolutions on a single pixel would
    lose the signal. The fully connected layers see a map of 7x7, as published, or for images of 64 pixels or less the
    map as it is.
    Source: Simonyan and Zisserman 2014, arXiv 1409.1556; batch normalization as in torchvision, beside the biases.
    """
    layers: list[nn.Module] = []
    size, channels = image_size, in_channels
    for published, count in zip(VGG_CHANNELS, VGG_CONVOLUTIONS[depth], strict=True):
        out_channels = scaled(published, width)
        for _ in range(count):
            layers += blocks.conv(channels, out_channels, 3, activation, norm, bias=True)
            channels = out_channels
        if size >= 4:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    pooled_size = size if image_size <= SMALL_IMAGE else 7
    return Classic(layers, channels, pooled_size, num_classes, activation, dropout, width)


class Classic(nn.Module):
    """Convolutions, pooling to a fixed map, two hidden layers with dropout, class scores: AlexNet, ZFNet and VGG.

    `features` give `channels` maps. Parameters are named as in torchvision, whose weights fit.
    """

    def __init__(
        self,
        features: Sequence[nn.Module],
        channels: int,
        pooled_size: int,
        num_classes: int,
        activation: ActivationName,
        dropout: float,
        width: float,
        dropout_first: bool = False,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.avgpool = PoolTo(pooled_size)
        hidden = scaled(HIDDEN, width)
        classifier: list[nn.Module] = []
        for fan_in in (channels * pooled_size**2, hidden):
            layers, noise = blocks.linear(fan_in, hidden, activation), nn.Dropout(dropout)
            classifier += [noise, *layers] if dropout_first else [*layers, noise]
        self.classifier = nn.Sequential(*classifier, nn.Linear(hidden, num_classes))

    def forward(self, images_BCSS: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(images_BCSS)).flatten(1))
