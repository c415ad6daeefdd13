"""Data sets that need no download and no disk."""

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from runner.constraints import NonNegative, NonNegativeInt, OpenFraction, PositiveInt
from runner.data.dataset import Data, Split
from runner.data.loader import BatchSize
from runner.data.source import Images
from runner.seeds import generator


@dataclass(kw_only=True)
class Digits(Data):
    """1,797 real handwritten digits, 8 x 8 pixels, 10 classes, from scikit-learn. A sixth is the test split.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits.
    """

    batch_size: BatchSize = 32
    val_fraction: OpenFraction = 0.2

    image_shape = (1, 8, 8)
    test_share = 1 / 6
    stored_classes: ClassVar = [str(digit) for digit in range(10)]

    def read(self, split: Split) -> Images | None:
        return self._whole if split == "train" else None

    @cached_property
    def _whole(self) -> Images:
        table = torch.from_numpy(_digits_table())  # [1797, 65]: 64 intensities from 0 to 16, and the label
        pixels = (table[:, :-1] * (255 / 16)).round().to(torch.uint8)
        return Images(pixels.reshape(-1, 1, 8, 8), table[:, -1].long())


def _digits_table() -> np.ndarray:
    """scikit-learn's table of the digits, read without importing scikit-learn, which takes longer than the training."""
    spec = importlib.util.find_spec("sklearn")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "datasets/data/digits.csv.gz"
        if path.exists():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


@dataclass(kw_only=True)
class Synthetic(Data):
    """Learnable class patterns made from a seed: each class is a smooth random picture, each image that plus noise.

    `noise` is the standard deviation of the pixel noise relative to the patterns'; at 1 a linear model learns, at 4
    it is hard. `num_images` counts training and validation; the test split has a fifth of that beside it.
    """

    num_images: PositiveInt = 2000
    num_classes: PositiveInt = 10
    in_channels: PositiveInt = 3
    image_size: PositiveInt = 32
    noise: NonNegative = 1.0
    pattern_seed: NonNegativeInt = 0

    @property
    def stored_classes(self) -> list[str]:
        return [f"pattern {index}" for index in range(self.num_classes)]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.in_channels, self.image_size, self.image_size

    def read(self, split: Split) -> Images | None:
        if split == "val":
            return None
        num_images = self.num_images if split == "train" else max(1, self.num_images // 5)
        numbers = generator(self.pattern_seed, "patterns")
        coarse = torch.randn(self.num_classes, self.in_channels, 4, 4, generator=numbers)
        patterns = F.interpolate(coarse, size=(self.image_size,) * 2, mode="bicubic", align_corners=False)
        numbers = generator(self.pattern_seed, split)
        labels = torch.arange(num_images) % self.num_classes
        pixels = torch.empty(num_images, *self.image_shape, dtype=torch.uint8)
        for chunk in torch.arange(num_images).split(4096):  # the noise of all images at once may not fit in memory
            noise = torch.randn(len(chunk), *self.image_shape, generator=numbers)
            images = patterns[labels[chunk]] + self.noise * noise
            pixels[chunk] = (images * 32 + 128).clamp(0, 255).to(torch.uint8)
        return Images(pixels, labels)
