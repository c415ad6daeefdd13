"""Inception-v3 (Szegedy et al. 2015): factorized convolutions, one auxiliary classifier; torchvision's network."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import Bounds, FractionBelowOne, NonNegative, Positive
from runner.model.activation import ActivationName
from runner.model.blocks import Enlarge, PoolTo
from runner.model.googlenet import conv_maker, exact_width

MinSize = Annotated[int, Bounds(75)]  # the smallest image that Inception-v3 and v4 take


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
            partial(_Auxiliary, unit, factor),
        ],
        init_weights=False,
        dropout=dropout,
    )
    network.fc = nn.Linear(factor(2048), num_classes)
    network.register_forward_pre_hook(partial(_enlarge, Enlarge(min_size)))
    network.aux_weight = aux_weight
    return network


def _enlarge(layer: Enlarge, network: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
    return layer(args[0])


class _Auxiliary(nn.Module):
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
        self.fc = nn.Linear(factor(768), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 5, 3) if x.shape[-1] >= 17 else self.pool(x)
        return self.fc(self.conv1(self.conv0(x)).mean(dim=(2, 3)))
