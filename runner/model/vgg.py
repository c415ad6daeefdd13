"""VGG (Simonyan and Zisserman 2014): 3x3 convolutions alone, five stages, three fully connected layers."""

from typing import Literal

from torch import nn

from runner.constraints import FractionBelowOne, Positive
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import SMALL_IMAGE, Classic, Norm, scaled

Depth = Literal[11, 13, 16, 19]

CHANNELS = (64, 128, 256, 512, 512)  # of each stage
CONVOLUTIONS: dict[Depth, tuple[int, ...]] = {  # in each stage
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
POOLED_SIZE = 7  # of the map that the first fully connected layer sees


def vgg(
    in_channels: int,
    image_size: int,
    num_classes: int,
    depth: Depth = 16,
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
    for published, count in zip(CHANNELS, CONVOLUTIONS[depth], strict=True):
        out_channels = scaled(published, width)
        for _ in range(count):
            layers += blocks.conv(channels, out_channels, 3, activation, norm, bias=True)
            channels = out_channels
        if size >= 4:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    pooled_size = size if image_size <= SMALL_IMAGE else POOLED_SIZE
    return Classic(layers, channels, pooled_size, num_classes, activation, dropout, width)
