"""Augmentations that move whole pixels: no value changes."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from runner import seeds
from runner.augment.augmentation import Augmentation, Draws, Epoch
from runner.constraints import Fraction, NonNegativeInt
from runner.errors import UserError


@dataclass
class Flip(Augmentation):
    """Mirrors each image left to right with probability `p`.

    `alternate`: that is drawn for the first epoch; in every second one each image is the mirror image of what it was.
    So two epochs show both sides of every image. Source: Jordan 2024, arXiv 2404.00498.
    """

    p: Fraction = 0.5
    alternate: bool = False

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"flip": torch.rand(num_images, generator=generator) < self.p}

    def draw_epoch(self, epoch: Epoch, generator: torch.Generator) -> Draws:
        if not self.alternate:
            return super().draw_epoch(epoch, generator)
        at_first = torch.rand(epoch.num_images, generator=seeds.generator(epoch.seed, "flip")) < self.p
        return {"flip": at_first[epoch.images] ^ (epoch.number % 2 == 1)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        return torch.where(draws["flip"][:, None, None, None], images_BCHW.flip(-1), images_BCHW)


@dataclass
class Crop(Augmentation):
    """Pads by `padding` pixels on every side and cuts a random window of the old size. Source: He et al. 2015, 4.2."""

    padding: NonNegativeInt = 4
    padding_mode: Literal["zeros", "reflect"] = "zeros"

    def check(self, image_shape: tuple[int, int, int]) -> None:
        side = min(image_shape[1:])
        if self.padding_mode == "reflect" and self.padding >= side:
            raise UserError(
                f"augment.crop.padding: must be below the image's {side} pixels to reflect, not {self.padding}; "
                "lower it or use augment.crop.padding_mode=zeros"
            )

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"offset": torch.randint(0, 2 * self.padding + 1, (num_images, 2), generator=generator)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        padded = F.pad(images_BCHW, (self.padding,) * 4, mode="constant" if self.padding_mode == "zeros" else "reflect")
        windows = padded.unfold(2, H, 1).unfold(3, W, 1)  # a view [B, C, offsets, offsets, H, W]
        image = torch.arange(len(images_BCHW), device=images_BCHW.device)
        return windows[image, :, draws["offset"][:, 0], draws["offset"][:, 1]]
