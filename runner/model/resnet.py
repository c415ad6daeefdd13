"""Residual networks (He et al. 2015): torchvision's for ImageNet, ours for the CIFAR forms, which it lacks."""

from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import PositiveInt
from runner.errors import UserError
from runner.model import blocks
from runner.model.activation import ActivationName, copies, swap_relu
from runner.model.blocks import Stem, is_small

Depth = Literal[18, 34, 50, 101, 152, 20, 32, 44, 56, 110]

CIFAR_DEPTHS = (20, 32, 44, 56, 110)
SMALL_IMAGE = 40  # pixels; up to here `stem: auto` means cifar


def resnet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    depth: Depth = 18,
    activation: ActivationName = "relu",
    stem: Stem = "auto",
    width: PositiveInt | None = None,
    residual: bool = True,
) -> nn.Module:
    """A residual network by depth: 18, 34, 50, 101, 152 of table 1; 20, 32, 44, 56, 110 of section 4.2 (CIFAR).

    `stem` of the first kind: `imagenet`, 7x7 stride 2 and max pooling; `cifar`, 3x3 stride 1; `auto`: cifar up to 40
    pixels, above which it costs many times as much. `width` is the first stage's number of channels in the second kind,
    16 for null. Images of any size. In the first kind the activations of a block share the slope of a PReLU. Without
    `residual` it is the plain network of the same layers, of section 4.1: no shortcuts, nor the projections on them.

    Raises:
        UserError: a key does not belong to this depth.
    """
    if depth in CIFAR_DEPTHS:
        if stem == "imagenet":
            raise UserError(f"model.stem: depth {depth} has the cifar stem alone; leave it at auto, or use depth 18")
        return CifarResNet(in_channels, num_classes, depth, width or 16, activation, residual)
    if width is not None:
        raise UserError(
            f"model.width: depth {depth} has its published widths alone; leave it null, or use model.depth=20"
        )
    import torchvision.models

    network: Any = getattr(torchvision.models, f"resnet{depth}")(num_classes=num_classes)
    if not residual:
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            for number, block in enumerate(stage):
                stage[number] = PlainBlock(block)
    network.stem_form = "cifar" if is_small(stem, image_size, up_to=SMALL_IMAGE) else "imagenet"
    if network.stem_form == "cifar":
        network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    swap_relu(network, activation)
    return network


class CifarResNet(nn.Module):
    """6n+2 layers in three stages of n blocks of width 16, 32, 64; parameter-free shortcuts (option A)."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int,
        width: int = 16,
        activation: ActivationName = "relu",
        residual: bool = True,
    ) -> None:
        super().__init__()
        widths = [width, *(width * 2**stage for stage in range(3) for _ in range((depth - 2) // 6))]
        self.stem = nn.Sequential(*blocks.conv(in_channels, width, 3, activation, "batch"))
        # A block that doubles the width halves the map.
        made = [BasicBlock(old, new, new // old, activation) for old, new in pairwise(widths)]
        plain = [nn.Sequential(*block.branch, block.activation) for block in made]
        self.blocks = nn.Sequential(*(made if residual else plain))
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.blocks(self.stem(images_BCHW)).mean(dim=(2, 3))
        return self.fc(features)


class BasicBlock(nn.Module):
    """`relu(x + F(x))` with two 3x3 convolutions; where the shape changes, x is strided and padded with zeros.

    With maxout it is `max(x + F1(x), x + F2(x))`: both pieces see the same shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: ActivationName = "relu") -> None:
        super().__init__()
        self.copies = copies(activation)
        second = blocks.conv(out_channels, out_channels, 3, activation, "batch")
        first = blocks.conv(in_channels, out_channels, 3, activation, "batch", stride=stride)
        *branch, last = first + second
        self.branch = nn.Sequential(*branch)
        self.activation = last
        self.stride = stride
        self.added_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.stride != 1 or self.added_channels:
            half = self.added_channels // 2
            strided = x[:, :, :: self.stride, :: self.stride]
            shortcut = F.pad(strided, (0, 0, 0, 0, half, self.added_channels - half))
        if self.copies > 1:
            shortcut = shortcut.repeat(1, self.copies, 1, 1)
        return self.activation(shortcut + self.branch(x))


class PlainBlock(nn.Sequential):
    """The layers of one of torchvision's residual blocks, without the shortcut and the projection on it."""

    def __init__(self, block: nn.Module) -> None:
        layers = dict(block.named_children())
        names = [name for name in layers if name.startswith(("conv", "bn"))]
        activations = [nn.ReLU(inplace=True) for name in names if name.startswith("bn")]
        ordered: list[nn.Module] = []
        for name in names:
            ordered.append(layers[name])
            if name.startswith("bn"):
                ordered.append(activations.pop())
        super().__init__(*ordered)
