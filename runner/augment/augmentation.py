"""What an augmentation is: random numbers drawn apart from the pixels, then a pure function of both.

B images, C channels, H by W pixels. Draws come from a CPU generator for a whole epoch at once, so the same seed gives
the same pixels on every device and by every way of loading. Images are floats in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Draws = dict[str, Tensor]  # each [B, ...]: one row an image


class Augmentation:
    """One random change of images."""

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        """The random numbers of `num_images` images, on the CPU."""
        raise NotImplementedError

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        """The images changed as the draws say: same shape, same range."""
        raise NotImplementedError


@dataclass
class Pipeline:
    """Augmentations in order."""

    members: Sequence[Augmentation] = ()

    def draw(self, num_images: int, generator: torch.Generator) -> list[Draws]:
        return [member.draw(num_images, generator) for member in self.members]

    def apply(self, images_BCHW: Tensor, draws: Sequence[Draws]) -> Tensor:
        for member, numbers in zip(self.members, draws, strict=True):
            images_BCHW = member.apply(images_BCHW, numbers)
        return images_BCHW

    def __bool__(self) -> bool:
        return bool(self.members)
