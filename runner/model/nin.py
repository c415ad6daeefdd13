"""Network in network (Lin et al. 2013): a small fully connected network on each pixel after each convolution."""

from torch import Tensor, nn

from runner.constraints import FractionBelowOne, Positive
from runner.model import blocks
from runner.model.activation import ActivationName
from runner.model.blocks import Norm, Stem, is_small, scaled

Layer = tuple[int, int]  # channels, side of the filters
# Three stages for small images, four for others; the last layer of each network gives class scores.
SMALL: tuple[tuple[Layer, ...], ...] = (
    ((192, 5), (160, 1), (96, 1)),
    ((192, 5), (192, 1), (192, 1)),
    ((192, 3), (192, 1)),
)
LARGE: tuple[tuple[Layer, ...], ...] = (
    ((96, 11), (96, 1), (96, 1)),
    ((256, 5), (256, 1), (256, 1)),
    ((384, 3), (384, 1), (384, 1)),
    ((1024, 3), (1024, 1)),
)


class NIN(nn.Module):
    """Stages of a convolution and 1x1 convolutions, pooling and dropout between them; the mean of the last maps.

    `stem` cifar (auto: up to 64 pixels) is the paper's network for CIFAR-10, and imagenet its authors' for ImageNet.
    Each pooling halves the map, rounding up. Source: Lin et al. 2013, Network In Network, arXiv 1312.4400, as its
    authors published it for Caffe. Where we differ: no activation after the layer that gives class scores.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        activation: ActivationName = "relu",
        norm: Norm = "none",
        dropout: FractionBelowOne = 0.5,
        width: Positive = 1.0,
        stem: Stem = "auto",
    ) -> None:
        super().__init__()
        small = is_small(stem, image_size, "NIN", smallest=11)
        stages = SMALL if small else LARGE
        layers: list[nn.Module] = []
        channels = in_channels
        for number, stage in enumerate(stages):
            for published, side in stage:
                outputs = scaled(published, width)
                stride, padding = (4, 0) if side == 11 else (1, side // 2)
                layers += blocks.conv(channels, outputs, side, activation, norm, stride, padding)
                channels = outputs
            if stage is not stages[-1]:
                averages = small and number > 0
                layers.append(
                    nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
                    if averages
                    else nn.MaxPool2d(3, 2, padding=1)
                )
                if small or number == len(stages) - 2:
                    layers.append(nn.Dropout(dropout))
        self.features = nn.Sequential(*layers)
        self.scores = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.scores(self.features(images_BCHW)).mean(dim=(2, 3))
