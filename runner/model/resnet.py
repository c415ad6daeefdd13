"""Residual networks (He et al. 2015): torchvision's for ImageNet, ours for the CIFAR forms, which it lacks."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from runner.quantity import PositiveCount

Depth = Literal[18, 34, 50, 101, 152, 20, 32, 44, 56, 110]


def resnet(
    in_channels: int,
    image_size: int,
    num_classes: int,
    depth: Depth = 18,
    stem: Literal["auto", "imagenet", "cifar"] = "auto",
    width: PositiveCount = 16,
) -> nn.Module:
    """A residual network by depth: 18, 34, 50, 101, 152 of table 1; 20, 32, 44, 56, 110 of section 4.2 (CIFAR).

    `stem` of the first kind: `imagenet`, 7x7 stride 2 and max pooling; `cifar`, 3x3 stride 1; `auto`, by the image size
    (cifar up to 64 pixels). `width` is the first stage's number of channels in the second kind.
    """
    if depth in (20, 32, 44, 56, 110):
        return CifarResNet(in_channels, num_classes, depth, width)
    import torchvision.models

    network: nn.Module = getattr(torchvision.models, f"resnet{depth}")(num_classes=num_classes)
    if stem == "cifar" or (stem == "auto" and image_size <= 64):
        network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    return network


class CifarResNet(nn.Module):
    """6n+2 layers in three stages of n blocks of width 16, 32, 64; parameter-free shortcuts (option A)."""

    def __init__(self, in_channels: int, num_classes: int, depth: int, width: int = 16) -> None:
        super().__init__()
        blocks_per_stage = (depth - 2) // 6
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        blocks = []
        channels = width
        for stage in range(3):
            for index in range(blocks_per_stage):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(BasicBlock(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.blocks(self.stem(images_BCHW)).mean(dim=(2, 3))
        scores: Tensor = self.fc(features)
        return scores


class BasicBlock(nn.Module):
    """`relu(x + F(x))` with two 3x3 convolutions; where the shape changes, x is strided and padded with zeros."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.stride = stride
        self.added_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.stride != 1 or self.added_channels:
            half = self.added_channels // 2
            strided = x[:, :, :: self.stride, :: self.stride]
            shortcut = F.pad(strided, (0, 0, 0, 0, half, self.added_channels - half))
        return F.relu(shortcut + self.branch(x))
