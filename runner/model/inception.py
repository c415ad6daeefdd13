"""GoogLeNet (Szegedy et al. 2014) and Inception-v3 (2015), by torchvision's modules, and Inception-v4 (2016)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import Bounds, FractionBelowOne, NonNegative, Positive
from runner.errors import UserError
from runner.init.initializers import SCORES
from runner.model import blocks
from runner.model.activation import ActivationName, copies
from runner.model.blocks import ConvUnit, Enlarge, Norm, PoolTo, ResponseNorm, Stem, is_small, scaled

MinSize = Annotated[int, Bounds(75)]  # the smallest image that Inception-v3 and v4 take


def googlenet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    variant: Literal[2014, 2015] = 2015,
    aux_weight: NonNegative = 0.3,
    activation: ActivationName = "relu",
    dropout: FractionBelowOne | None = None,
    aux_dropout: FractionBelowOne = 0.7,
    width: Positive = 1.0,
    stem: Stem = "auto",
) -> nn.Module:
    """GoogLeNet. In training it gives the scores and those of its auxiliary classifiers. The two variants:

    2014: as published: 5x5 convolutions, biases, local response normalization around the second convolution, dropout
    0.4. Source: Szegedy et al. 2014, arXiv 1409.4842.
    2015: torchvision's: batch normalization (Ioffe and Szegedy 2015), 3x3 for the 5x5 convolutions, dropout 0.2.

    `dropout` None is the variant's. `aux_weight` is the weight of each auxiliary loss; 0 leaves the classifiers out.
    `stem` cifar (auto: up to 64 pixels) begins with a 3x3 convolution of stride 1 and leaves the first two poolings
    out: images of 2 pixels or more. `width` is a multiple of 1/8.
    """
    from torchvision.models.googlenet import GoogLeNet, Inception

    small = is_small(stem, image_size, "GoogLeNet", smallest=15)
    factor = exact_width(width, 8)
    as_published = variant == 2014
    unit = conv_maker(in_channels, factor, activation, "none" if as_published else "batch")
    if dropout is None:
        dropout = 0.4 if as_published else 0.2
    network: Any = GoogLeNet(
        num_classes=num_classes,
        aux_logits=aux_weight > 0,
        init_weights=False,
        blocks=[unit, partial(Inception, conv_block=unit), partial(_GoogLeNetAuxiliary, unit, factor, activation)],
        dropout=dropout,
        dropout_aux=aux_dropout,
    )
    network.fc = _scores(factor(1024), num_classes)
    if small:
        network.conv1 = unit(3, 64, kernel_size=3, padding=1)
        network.maxpool1 = nn.Identity()
        network.maxpool2 = nn.Identity()
    if as_published:
        network.maxpool1 = nn.Sequential(network.maxpool1, ResponseNorm())
        network.maxpool2 = nn.Sequential(ResponseNorm(), network.maxpool2)
        for module in network.modules():
            if isinstance(module, Inception):
                module.branch3[1] = _with_kernel(module.branch3[1], 5, activation)
    network.aux_weight = aux_weight
    return network


def _with_kernel(unit: Any, side: int, activation: ActivationName) -> nn.Module:
    """That unit of a convolution without normalization, with filters of another side."""
    old = unit[0]
    return nn.Sequential(*blocks.conv(old.in_channels, old.out_channels // copies(activation), side, activation))


def inception_v3(
    in_channels: int,
    num_classes: int,
    aux_weight: NonNegative = 0.4,
    activation: ActivationName = "relu",
    dropout: FractionBelowOne = 0.5,
    width: Positive = 1.0,
    min_size: MinSize = 75,
) -> nn.Module:
    """Inception-v3. In training it gives the scores and those of its auxiliary classifier.

    `aux_weight` is the latter's weight in the loss (0.4 in torchvision's recipe); 0 leaves it out. Images smaller than
    `min_size` are enlarged to it; 299 is the published size. `width` is a multiple of 1/16.
    Source: Szegedy et al. 2015, Rethinking the Inception Architecture, arXiv 1512.00567.
    """
    from torchvision.models import inception

    unit = conv_maker(in_channels, factor := exact_width(width, 16), activation)
    letters = [getattr(inception, f"Inception{letter}") for letter in "ABCDE"]
    network: Any = inception.Inception3(
        num_classes=num_classes,
        aux_logits=aux_weight > 0,
        inception_blocks=[
            unit,
            *(partial(module, conv_block=unit) for module in letters),
            partial(_InceptionAuxiliary, unit, factor),
        ],
        init_weights=False,
        dropout=dropout,
    )
    network.fc = _scores(factor(2048), num_classes)
    network.register_forward_pre_hook(partial(_enlarge, Enlarge(min_size)))
    network.aux_weight = aux_weight
    return network


def _scores(features: int, num_classes: int) -> nn.Linear:
    """A layer that gives class scores: one of several in the network."""
    layer = nn.Linear(features, num_classes)
    setattr(layer, SCORES, True)
    return layer


class _GoogLeNetAuxiliary(nn.Module):
    """The classifier on a middle stage's maps: pooled to 4x4, 1x1 convolution, 1024 hidden features, scores [B, K]."""

    def __init__(
        self,
        unit: Callable[..., nn.Module],
        factor: Callable[[int], int],
        activation: ActivationName,
        in_channels: int,
        num_classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pool = PoolTo(4)
        self.conv = unit(in_channels, 128, kernel_size=1)
        self.fc1, self.activation = blocks.linear(factor(128) * 4 * 4, factor(1024), activation)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = _scores(factor(1024), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(self.activation(self.fc1(features))))


class _InceptionAuxiliary(nn.Module):
    """The classifier on the maps before the last reduction: pooled to 5x5, two convolutions, scores [B, K].

    Pooling is 5x5 with stride 3, as published, where the map is 17x17 or larger; a smaller one is pooled to 5x5.
    """

    def __init__(
        self, unit: Callable[..., nn.Module], factor: Callable[[int], int], in_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.pool = PoolTo(5)
        self.conv0 = unit(in_channels, 128, kernel_size=1)
        self.conv1 = unit(128, 768, kernel_size=5)
        self.fc = _scores(factor(768), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 5, 3) if x.shape[-1] >= 17 else self.pool(x)
        return self.fc(self.conv1(self.conv0(x)).mean(dim=(2, 3)))


def _enlarge(layer: Enlarge, network: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
    return layer(args[0])


_CONV_DEFAULTS = {"kernel_size": 1, "stride": 1, "padding": 0}


def exact_width(width: float, parts: int) -> Callable[[int], int]:
    """Scales numbers of channels without rounding: torchvision's layers each state theirs, and must agree.

    Raises:
        UserError: `width` is no multiple of `1 / parts`.
    """
    if width * parts != round(width * parts):
        raise UserError(f"model.width: must be a multiple of 1/{parts} here, such as 0.25, not {width}")
    return lambda channels: round(channels * width)


def conv_maker(
    in_channels: int, factor: Callable[[int], int], activation: ActivationName, norm: Norm = "batch"
) -> Callable[..., nn.Module]:
    """torchvision's `conv_block`, by our channels and activation: the one that asks for 3 inputs sees the images."""

    def make(inputs: int, outputs: int, **options: Any) -> nn.Module:
        fan_in, fan_out = in_channels if inputs == 3 else factor(inputs), factor(outputs)
        if norm == "batch":
            return ConvUnit(fan_in, fan_out, activation, **options)
        kernel, stride, padding = (options.get(key, rest) for key, rest in _CONV_DEFAULTS.items())
        return nn.Sequential(*blocks.conv(fan_in, fan_out, kernel, activation, stride=stride, padding=padding))

    return make


# Inception-v4: figures 3 to 9 of the paper


class Conv(NamedTuple):
    """A convolution of a figure; `valid` marks the ones without padding, as does a stride of 2 unless `padded`."""

    channels: int
    rows: int
    columns: int
    stride: int = 1
    valid: bool = False
    padded: bool = False


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(3, 2),
    "halve": lambda: nn.MaxPool2d(3, 2, padding=1),
    "max_same": lambda: nn.MaxPool2d(3, 1, padding=1),
    "average": lambda: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
}
Chain = Sequence["Conv | str | Fork"]  # convolutions, poolings and forks, one after another: a tuple
Fork = list[Chain]  # chains of the same maps, side by side

STEM: Chain = (
    Conv(32, 3, 3, 2),
    Conv(32, 3, 3, valid=True),
    Conv(64, 3, 3),
    [("max",), (Conv(96, 3, 3, 2),)],
    [
        (Conv(64, 1, 1), Conv(96, 3, 3, valid=True)),
        (Conv(64, 1, 1), Conv(64, 7, 1), Conv(64, 1, 7), Conv(96, 3, 3, valid=True)),
    ],
    [(Conv(192, 3, 3, 2),), ("max",)],
)
MODULE_A: Fork = [
    ("average", Conv(96, 1, 1)),
    (Conv(96, 1, 1),),
    (Conv(64, 1, 1), Conv(96, 3, 3)),
    (Conv(64, 1, 1), Conv(96, 3, 3), Conv(96, 3, 3)),
]
REDUCTION_A: Fork = [
    ("max",),
    (Conv(384, 3, 3, 2),),
    (Conv(192, 1, 1), Conv(224, 3, 3), Conv(256, 3, 3, 2)),
]
MODULE_B: Fork = [
    ("average", Conv(128, 1, 1)),
    (Conv(384, 1, 1),),
    (Conv(192, 1, 1), Conv(224, 1, 7), Conv(256, 7, 1)),
    (Conv(192, 1, 1), Conv(192, 1, 7), Conv(224, 7, 1), Conv(224, 1, 7), Conv(256, 7, 1)),
]
REDUCTION_B: Fork = [
    ("max",),
    (Conv(192, 1, 1), Conv(192, 3, 3, 2)),
    (Conv(256, 1, 1), Conv(256, 1, 7), Conv(320, 7, 1), Conv(320, 3, 3, 2)),
]
MODULE_C: Fork = [
    ("average", Conv(256, 1, 1)),
    (Conv(256, 1, 1),),
    (Conv(384, 1, 1), [(Conv(256, 1, 3),), (Conv(256, 3, 1),)]),
    (Conv(384, 1, 1), Conv(448, 1, 3), Conv(512, 3, 1), [(Conv(256, 3, 1),), (Conv(256, 1, 3),)]),
]
NETWORK: Chain = (*STEM, *[MODULE_A] * 4, REDUCTION_A, *[MODULE_B] * 7, REDUCTION_B, *[MODULE_C] * 3)


class InceptionV4(nn.Sequential):
    """Inception-v4. Images smaller than `min_size` are enlarged to it; 299 is the published size.

    Source: Szegedy et al. 2016, Inception-v4, Inception-ResNet, arXiv 1602.07261; dropout keeps 0.8.
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
        layers, channels = chain_of(in_channels, NETWORK, activation, width)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes)]
        super().__init__(Enlarge(min_size), *layers, *head)


class Branches(nn.ModuleList):
    """Branches over the same maps, their outputs side by side."""

    def __init__(self, in_channels: int, fork: Fork, activation: ActivationName, width: float) -> None:
        chains = [chain_of(in_channels, branch, activation, width) for branch in fork]
        super().__init__(nn.Sequential(*layers) for layers, _ in chains)
        self.out_channels = sum(channels for _, channels in chains)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


def chain_of(channels: int, chain: Chain, activation: ActivationName, width: float) -> tuple[list[nn.Module], int]:
    """The layers of a chain, and how many maps it gives."""
    layers: list[nn.Module] = []
    for piece in chain:
        if isinstance(piece, str):
            layers.append(POOLINGS[piece]())
        elif isinstance(piece, list):
            branches = Branches(channels, piece, activation, width)
            layers.append(branches)
            channels = branches.out_channels
        else:
            outputs, kernel = scaled(piece.channels, width), (piece.rows, piece.columns)
            bare = piece.valid or (piece.stride == 2 and not piece.padded)
            padding = (0, 0) if bare else (piece.rows // 2, piece.columns // 2)
            options = {"kernel_size": kernel, "stride": piece.stride, "padding": padding}
            layers.append(ConvUnit(channels, outputs, activation, **options))
            channels = outputs
    return layers, channels
