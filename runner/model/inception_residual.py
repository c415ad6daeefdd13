"""Inception-v2, that of batch normalization (Ioffe and Szegedy 2015), and Inception-ResNet-v2 (Szegedy et al. 2016).

Both are made of the pieces of `runner.model.inception`: chains of convolutions and poolings, and forks of chains.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from runner.constraints import FractionBelowOne, Positive
from runner.model.activation import ActivationName, copies
from runner.model.activation import activation as make_activation
from runner.model.blocks import ConvUnit, Enlarge, PoolTo, Stem, is_small, scaled
from runner.model.inception import Branches, Chain, Conv, Fork, MinSize, chain_of


def _module(one: int, three: tuple[int, int], double: tuple[int, int], pool: str, projected: int) -> Fork:
    """A module of Inception-v2: 1x1; 3x3; two of 3x3; pooling and 1x1."""
    return [
        (Conv(one, 1, 1),),
        (Conv(three[0], 1, 1), Conv(three[1], 3, 3)),
        (Conv(double[0], 1, 1), Conv(double[1], 3, 3), Conv(double[1], 3, 3)),
        (pool, Conv(projected, 1, 1)),
    ]


def _reduction(three: tuple[int, int], double: tuple[int, int]) -> Fork:
    """A module that halves the map, rounding up: 3x3; two of 3x3; the maps themselves, pooled."""
    return [
        (Conv(three[0], 1, 1), Conv(three[1], 3, 3, 2, padded=True)),
        (Conv(double[0], 1, 1), Conv(double[1], 3, 3), Conv(double[1], 3, 3, 2, padded=True)),
        ("halve",),
    ]


MODULES: Chain = (
    _module(64, (64, 64), (64, 96), "average", 32),
    _module(64, (64, 96), (64, 96), "average", 64),
    _reduction((128, 160), (64, 96)),
    _module(224, (64, 96), (96, 128), "average", 128),
    _module(192, (96, 128), (96, 128), "average", 128),
    _module(160, (128, 160), (128, 160), "average", 96),
    _module(96, (128, 192), (160, 192), "average", 96),
    _reduction((128, 192), (192, 256)),
    _module(352, (192, 320), (160, 224), "average", 128),
    _module(352, (192, 320), (192, 224), "max_same", 128),
)
LARGE_STEM: Chain = (Conv(64, 7, 7, 2, padded=True), "halve", Conv(64, 1, 1), Conv(192, 3, 3), "halve")
SMALL_STEM: Chain = (Conv(64, 3, 3), Conv(64, 1, 1), Conv(192, 3, 3))


class InceptionV2(nn.Sequential):
    """Inception-v2: GoogLeNet with batch normalization, and two 3x3 convolutions for each of 5x5.

    `stem` cifar (auto: up to 64 pixels) begins with a 3x3 convolution of stride 1 and leaves two poolings out.
    Source: Ioffe and Szegedy 2015, Batch Normalization, arXiv 1502.03167, figure 5, in the widths that its sums say
    (those of TensorFlow's inception_v2, without its separable first layer) and without auxiliary classifiers.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        activation: ActivationName = "relu",
        dropout: FractionBelowOne = 0.2,
        width: Positive = 1.0,
        stem: Stem = "auto",
    ) -> None:
        first = SMALL_STEM if is_small(stem, image_size) else LARGE_STEM
        layers, channels = chain_of(in_channels, (*first, *MODULES), activation, width)
        head = [PoolTo(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes)]
        super().__init__(*layers, *head)


# Inception-ResNet-v2

FIRST_MODULE: Fork = [
    (Conv(96, 1, 1),),
    (Conv(48, 1, 1), Conv(64, 5, 5)),
    (Conv(64, 1, 1), Conv(96, 3, 3), Conv(96, 3, 3)),
    ("average", Conv(64, 1, 1)),
]
RESIDUAL_STEM: Chain = (
    *(Conv(32, 3, 3, 2), Conv(32, 3, 3, valid=True), Conv(64, 3, 3), "max"),
    *(Conv(80, 1, 1), Conv(192, 3, 3, valid=True), "max", FIRST_MODULE),
)
BLOCK_A: Fork = [
    (Conv(32, 1, 1),),
    (Conv(32, 1, 1), Conv(32, 3, 3)),
    (Conv(32, 1, 1), Conv(48, 3, 3), Conv(64, 3, 3)),
]
REDUCTION_A: Fork = [
    (Conv(384, 3, 3, 2),),
    (Conv(256, 1, 1), Conv(256, 3, 3), Conv(384, 3, 3, 2)),
    ("max",),
]
BLOCK_B: Fork = [(Conv(192, 1, 1),), (Conv(128, 1, 1), Conv(160, 1, 7), Conv(192, 7, 1))]
REDUCTION_B: Fork = [
    (Conv(256, 1, 1), Conv(384, 3, 3, 2)),
    (Conv(256, 1, 1), Conv(288, 3, 3, 2)),
    (Conv(256, 1, 1), Conv(288, 3, 3), Conv(320, 3, 3, 2)),
    ("max",),
]
BLOCK_C: Fork = [(Conv(192, 1, 1),), (Conv(192, 1, 1), Conv(224, 1, 3), Conv(256, 3, 1))]
STAGES: Sequence[tuple[Chain, Fork, int, float]] = (  # what leads to it, its block, how often, scale of the branch
    (RESIDUAL_STEM, BLOCK_A, 10, 0.17),
    ((REDUCTION_A,), BLOCK_B, 20, 0.1),
    ((REDUCTION_B,), BLOCK_C, 9, 0.2),
)
LAST_CHANNELS = 1536


class InceptionResNetV2(nn.Sequential):
    """Inception-ResNet-v2. Images smaller than `min_size` are enlarged to it; 299 is the published size.

    Source: Szegedy et al. 2016, Inception-v4, Inception-ResNet, arXiv 1602.07261, in the form that its authors
    published for TensorFlow, and timm has: Inception-v3's stem, another width here and there, branches scaled by 0.17,
    0.1 and 0.2. Dropout keeps 0.8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        activation: ActivationName = "relu",
        dropout: FractionBelowOne = 0.2,
        width: Positive = 1.0,
        min_size: MinSize = 75,
    ) -> None:
        layers: list[nn.Module] = []
        channels = in_channels
        for leading, block, count, scale in STAGES:
            added, channels = chain_of(channels, leading, activation, width)
            layers += added
            layers += [Residual(channels, block, scale, activation, width) for _ in range(count)]
        layers.append(Residual(channels, BLOCK_C, 1.0, None, width, inner=activation))
        outputs = scaled(LAST_CHANNELS, width)
        layers.append(ConvUnit(channels, outputs, activation, kernel_size=1))
        head = [PoolTo(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(outputs, num_classes)]
        super().__init__(Enlarge(min_size), *layers, *head)


class Residual(nn.Module):
    """`activation(x + scale * project(branches(x)))`, with a 1x1 convolution that projects; None for no activation.

    With maxout both pieces see the same shortcut, as in `runner.model.resnet`.
    """

    def __init__(
        self,
        channels: int,
        fork: Fork,
        scale: float,
        activation: ActivationName | None,
        width: float,
        inner: ActivationName = "relu",
    ) -> None:
        super().__init__()
        self.branches = Branches(channels, fork, activation or inner, width)
        self.copies = copies(activation) if activation else 1
        self.project = nn.Conv2d(self.branches.out_channels, channels * self.copies, 1)
        self.scale = scale
        self.activation = make_activation(activation) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x.repeat(1, self.copies, 1, 1) if self.copies > 1 else x
        return self.activation(shortcut + self.scale * self.project(self.branches(x)))
