"""ConvNeXt (Liu et al. 2022): a convolutional network with the form of a transformer.

B images, C channels, H by W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import NonNegative, PositiveInt
from runner.errors import UserError

EPS = 1e-6  # of the normalizations


class ConvNeXt(nn.Module):
    """A stage for each of `channels` and `depths`: blocks of a 7x7 depthwise convolution and an MLP on each pixel.

    The first layer cuts the image into patches of `patch_size` pixels; each later stage begins with patches of 2. A
    patch of `auto` has 1 pixel up to an image of 16, 2 up to 64, else 4. A map whose side is no multiple of the patch
    is filled up with zeros at the right and below, where torchvision leaves the rest out. `layer_scale` is the first
    factor of each branch's channels, which are trained.
    With channels [96, 192, 384, 768], depths [3, 3, 9, 3] and patch_size 4 it is torchvision's convnext_tiny; the
    defaults are the channels and depths of Atto. Source: Liu et al. 2022, A ConvNet for the 2020s, arXiv 2201.03545;
    Woo et al. 2023, ConvNeXt V2, table 9 (Atto).

    Raises:
        UserError: there are not as many depths as channels.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        channels: Sequence[PositiveInt] = (40, 80, 160, 320),
        depths: Sequence[PositiveInt] = (2, 2, 6, 2),
        patch_size: PositiveInt | Literal["auto"] = "auto",
        layer_scale: NonNegative = 1e-6,
    ) -> None:
        super().__init__()
        if len(depths) != len(channels) or not channels:
            raise UserError(f"model.depths: must have one depth for each of model.channels={list(channels)}")
        size = patch_of(image_size) if patch_size == "auto" else patch_size
        self.stem = nn.Sequential(Patches(in_channels, channels[0], size), ChannelNorm(channels[0], eps=EPS))
        layers = [nn.Sequential(*(Block(channels[0], layer_scale) for _ in range(depths[0])))]
        for (old, new), depth in zip(pairwise(channels), depths[1:], strict=True):
            layers.append(nn.Sequential(ChannelNorm(old, eps=EPS), Patches(old, new, 2)))
            layers.append(nn.Sequential(*(Block(new, layer_scale) for _ in range(depth))))
        self.stages = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(channels[-1], eps=EPS)
        self.head = nn.Linear(channels[-1], num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.stages(self.stem(images_BCHW)).mean(dim=(2, 3))
        return self.head(self.norm(features))


def patch_of(image_size: int) -> int:
    """The side of the first layer's patches for images of that size."""
    return next((patch for largest, patch in ((16, 1), (64, 2)) if image_size <= largest), 4)


class Patches(nn.Conv2d):
    """A convolution of patches side by side, over a map filled up to whole patches."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__(in_channels, out_channels, size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        size = self.kernel_size[0]
        return super().forward(F.pad(x, (0, -x.shape[-1] % size, 0, -x.shape[-2] % size)))


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of each pixel of [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-3, -1)).movedim(-1, -3)


class Block(nn.Module):
    """`x + scale * mlp(norm(depthwise(x)))`; the branch may be dropped by reg=stochastic_depth."""

    def __init__(self, channels: int, layer_scale: float) -> None:
        from torchvision.ops import StochasticDepth

        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(torch.full((channels,), float(layer_scale)))  # of one dimension: not decayed
        self.drop = StochasticDepth(0.0, "row")

    def forward(self, x: Tensor) -> Tensor:
        branch = self.scale * self.mlp(self.norm(self.depthwise(x).movedim(-3, -1)))
        return x + self.drop(branch.movedim(-1, -3))
