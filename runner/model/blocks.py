"""Pieces that several families are made of.

B images, C channels, S by S pixels.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.errors import UserError
from runner.model.activation import ActivationName, copies
from runner.model.activation import activation as make_activation

Norm = Literal["none", "batch"]
Stem = Literal["auto", "imagenet", "cifar"]

SMALL_IMAGE = 64  # pixels; up to here `stem: auto` means cifar


def is_small(stem: Stem, image_size: int, network: str = "", smallest: int = 1, up_to: int = SMALL_IMAGE) -> bool:
    """Whether the network begins in its form for small images.

    Raises:
        UserError: it does not, and its other form takes none below `smallest` pixels.
    """
    small = stem == "cifar" or (stem == "auto" and image_size <= up_to)
    if not small and image_size < smallest:
        raise UserError(
            f"data.image_size: {network} takes images of {smallest} pixels or more, not {image_size}; "
            "enlarge them or use model.stem=cifar"
        )
    return small


def scaled(channels: int, width: float) -> int:
    """A published number of channels times the factor `width`, at least 1."""
    return max(1, round(channels * width))


def linear(fan_in: int, fan_out: int, name: ActivationName, norm: Norm = "none") -> list[nn.Module]:
    """A fully connected layer, its normalization if any, its activation: `fan_out` features."""
    outputs = fan_out * copies(name)
    between = [nn.BatchNorm1d(outputs)] if norm == "batch" else []
    return [nn.Linear(fan_in, outputs, bias=norm == "none"), *between, make_activation(name)]


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    name: ActivationName,
    norm: Norm = "none",
    stride: int = 1,
    padding: int | None = None,
    bias: bool | None = None,
    groups: int = 1,
) -> list[nn.Module]:
    """A convolution, its normalization if any, its activation: `out_channels` maps.

    The padding keeps the size where none is given; there is a bias where there is no normalization, unless told.
    """
    outputs = out_channels * copies(name)
    padding = kernel // 2 if padding is None else padding
    bias = norm == "none" if bias is None else bias
    between = [nn.BatchNorm2d(outputs)] if norm == "batch" else []
    layer = nn.Conv2d(in_channels, outputs, kernel, stride, padding, bias=bias, groups=groups)
    return [layer, *between, make_activation(name)]


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalization, activation: the unit of every Inception network.

    `options` are nn.Conv2d's. Parameters are named as in torchvision.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: ActivationName = "relu", **options: Any):
        super().__init__()
        outputs = out_channels * copies(activation)
        self.conv = nn.Conv2d(in_channels, outputs, bias=False, **options)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.bn(self.conv(x)))


class PoolTo(nn.Module):
    """Average pooling of any map to `size` by `size`: adaptive pooling whose gradient is deterministic on every device.

    Output i is the mean of inputs `floor(i n / size)` to `ceil((i + 1) n / size)`, as in nn.AdaptiveAvgPool2d.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        for dim in (2, 3):
            n = x.shape[dim]
            if n != self.size:
                windows = [(i * n // self.size, -(-(i + 1) * n // self.size)) for i in range(self.size)]
                x = torch.stack([x.narrow(dim, low, high - low).mean(dim) for low, high in windows], dim)
        return x

    def extra_repr(self) -> str:
        return f"{self.size}"


class Enlarge(nn.Module):
    """Enlarges images smaller than `min_size` to it, bilinearly; larger ones pass."""

    def __init__(self, min_size: int) -> None:
        super().__init__()
        self.min_size = min_size

    def forward(self, images_BCSS: Tensor) -> Tensor:
        if images_BCSS.shape[-1] >= self.min_size:
            return images_BCSS
        return F.interpolate(images_BCSS, size=(self.min_size, self.min_size), mode="bilinear")

    def extra_repr(self) -> str:
        return f"{self.min_size}"


class ResponseNorm(nn.LocalResponseNorm):
    """AlexNet's normalization across maps: `b_c = a_c / (k + alpha * sum of a^2 over the 5 maps around c)^beta`.

    k 2, alpha 1e-4, beta 0.75. torch's layer divides its alpha by 5 and pools with a kernel whose gradient is not
    deterministic on a GPU; this sum is. Source: Krizhevsky et al. 2012, section 3.3.
    """

    def __init__(self) -> None:
        super().__init__(size=5, alpha=5e-4, beta=0.75, k=2.0)

    def forward(self, x: Tensor) -> Tensor:
        C, reach = x.shape[1], self.size // 2
        squares = F.pad(x.square(), (0, 0, 0, 0, reach, reach))
        around = squares[:, :C]
        for shift in range(1, self.size):
            around = around + squares[:, shift : shift + C]
        return x / (self.k + self.alpha / self.size * around) ** self.beta
