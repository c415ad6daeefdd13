"""Inception-v4 (Szegedy et al. 2016): the uniform Inception network without residual connections, figures 3 to 9."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from runner.constraints import FractionBelowOne, Positive
from runner.model.activation import ActivationName
from runner.model.blocks import ConvUnit, Enlarge, scaled
from runner.model.inception_v3 import MinSize


class Conv(NamedTuple):
    """A convolution of a figure; `valid` marks the ones without padding, as does a stride of 2."""

    channels: int
    rows: int
    columns: int
    stride: int = 1
    valid: bool = False


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(3, 2),
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
        layers, channels = _chain(in_channels, NETWORK, activation, width)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes)]
        super().__init__(Enlarge(min_size), *layers, *head)


class _Branches(nn.ModuleList):
    """Branches over the same maps, their outputs side by side."""

    def __init__(self, in_channels: int, fork: Fork, activation: ActivationName, width: float) -> None:
        chains = [_chain(in_channels, branch, activation, width) for branch in fork]
        super().__init__(nn.Sequential(*layers) for layers, _ in chains)
        self.out_channels = sum(channels for _, channels in chains)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


def _chain(channels: int, chain: Chain, activation: ActivationName, width: float) -> tuple[list[nn.Module], int]:
    """The layers of a chain, and how many maps it gives."""
    layers: list[nn.Module] = []
    for piece in chain:
        if isinstance(piece, str):
            layers.append(POOLINGS[piece]())
        elif isinstance(piece, list):
            branches = _Branches(channels, piece, activation, width)
            layers.append(branches)
            channels = branches.out_channels
        else:
            outputs, kernel = scaled(piece.channels, width), (piece.rows, piece.columns)
            padding = (0, 0) if piece.valid or piece.stride == 2 else (piece.rows // 2, piece.columns // 2)
            options = {"kernel_size": kernel, "stride": piece.stride, "padding": padding}
            layers.append(ConvUnit(channels, outputs, activation, **options))
            channels = outputs
    return layers, channels
