"""GoogLeNet (Szegedy et al. 2014): nine inception modules, two auxiliary classifiers; torchvision's network."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from runner.constraints import FractionBelowOne, NonNegative, Positive
from runner.errors import UserError
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import ConvUnit, PoolTo, Stem, is_small


def googlenet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    aux_weight: NonNegative = 0.3,
    activation: ActivationName = "relu",
    dropout: FractionBelowOne = 0.2,
    aux_dropout: FractionBelowOne = 0.7,
    width: Positive = 1.0,
    stem: Stem = "auto",
) -> nn.Module:
    """GoogLeNet with batch normalization. In training it gives the scores and those of its auxiliary classifiers.

    `aux_weight` is their weight in the loss; 0 leaves them out. `stem` cifar (auto: up to 64 pixels) begins with a 3x3
    convolution of stride 1 and leaves the first two poolings out: images of 2 pixels or more. `width` is a multiple of
    1/8.
    Source: Szegedy et al. 2014, arXiv 1409.4842. Where torchvision differs: batch normalization, 3x3 for its 5x5
    convolutions, dropout 0.2 for 0.4.
    """
    from torchvision.models.googlenet import GoogLeNet, Inception

    small = is_small(stem, image_size, "GoogLeNet", smallest=15)
    factor = exact_width(width, 8)
    unit = conv_maker(in_channels, factor, activation)
    network: Any = GoogLeNet(
        num_classes=num_classes,
        aux_logits=aux_weight > 0,
        init_weights=False,
        blocks=[unit, partial(Inception, conv_block=unit), partial(_Auxiliary, unit, factor, activation)],
        dropout=dropout,
        dropout_aux=aux_dropout,
    )
    network.fc = nn.Linear(factor(1024), num_classes)
    if small:
        network.conv1 = unit(3, 64, kernel_size=3, padding=1)
        network.maxpool1 = nn.Identity()
        network.maxpool2 = nn.Identity()
    network.aux_weight = aux_weight
    return network


class _Auxiliary(nn.Module):
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
        self.fc2 = nn.Linear(factor(1024), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(self.activation(self.fc1(features))))


def exact_width(width: float, parts: int) -> Callable[[int], int]:
    """Scales numbers of channels without rounding: torchvision's layers each state theirs, and must agree.

    Raises:
        UserError: `width` is no multiple of `1 / parts`.
    """
    if width * parts != round(width * parts):
        raise UserError(f"model.width: must be a multiple of 1/{parts} here, such as 0.25, not {width}")
    return lambda channels: round(channels * width)


def conv_maker(in_channels: int, factor: Callable[[int], int], activation: ActivationName) -> Callable[..., nn.Module]:
    """torchvision's `conv_block`, by our channels and activation: the one that asks for 3 inputs sees the images."""

    def make(inputs: int, outputs: int, **options: Any) -> nn.Module:
        return ConvUnit(in_channels if inputs == 3 else factor(inputs), factor(outputs), activation, **options)

    return make
