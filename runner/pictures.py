"""Whole pictures of several shapes in one tensor, and squares cut from them and scaled in one step.

B images, C channels, L the short side at which pictures are kept, S the side of a square. A packed picture is uint8
[C, L + 1, LONGEST * L]: lying, so that a standing one is transposed, at the top left; black elsewhere. The last row
holds its width and whether it was transposed, so that it goes wherever its pixels go.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LONGEST = 2  # the long side as a multiple of the short one; of longer pictures the middle is kept
CHUNK = 16  # pictures that are held as floats at a time


class View(NamedTuple):
    """How the pictures of a folder are kept: by their short side, whole or as the square in the middle."""

    side: int
    whole: bool = False

    def shape(self, channels: int) -> tuple[int, int, int]:
        """Of the uint8 pixels of one picture."""
        return (channels, self.side + 1, LONGEST * self.side) if self.whole else (channels, self.side, self.side)


def lying_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of a lying picture that is scaled to the short side `side` and no longer than `LONGEST`."""
    short, long = sorted((width, height))
    return min(max(side, round(long * side / short)), LONGEST * side), side


def pack(picture_HWC: np.ndarray, side: int, standing: bool) -> np.ndarray:
    """A lying picture [side, W, C] as uint8 [C, side + 1, LONGEST * side]."""
    _, W, C = picture_HWC.shape
    packed = np.zeros((C, side + 1, LONGEST * side), dtype=np.uint8)
    packed[:, :side, :W] = picture_HWC.transpose(2, 0, 1)
    packed[0, side, :3] = (W // 256, W % 256, standing)
    return packed


class Packed:
    """Pictures [B, C, L + 1, LONGEST * L] with what their last rows say, on their device.

    Attributes:
        height, width: of each picture as it was seen [B].
    """

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.side = side = pixels.shape[-2] - 1
        row_B3 = pixels[:, 0, side, :3].long()
        long_B = row_B3[:, 0] * 256 + row_B3[:, 1]
        self.standing = row_B3[:, 2].bool()
        short_B = torch.full_like(long_B, side)
        self.height = torch.where(self.standing, long_B, short_B)
        self.width = torch.where(self.standing, short_B, long_B)

    def __len__(self) -> int:
        return len(self.pixels)

    def squares(self, box_B4: Tensor, size: int, inside: bool) -> Tensor:
        """Boxes (top, left, height, width), in pixels of the pictures, as floats [B, C, size, size] in [0, 1].

        Scaled bilinearly, and smoothed where they shrink, as torchvision's `antialias=True`. `inside`: what lies beyond
        the box does not count, as if it was cut before it is scaled; else it is cut afterwards.
        """
        whole_B4 = torch.stack([torch.zeros_like(self.height)] * 2 + [self.height, self.width], dim=1)
        limits_B4 = box_B4 if inside else whole_B4.to(box_B4.dtype)
        turned_B1 = self.standing[:, None]
        box_B4, limits_B4 = (torch.where(turned_B1, part[:, [1, 0, 3, 2]], part) for part in (box_B4, limits_B4))
        made = []
        for start in range(0, len(self), CHUNK):
            chunk = slice(start, start + CHUNK)
            images = self.pixels[chunk, :, : self.side].to(torch.float32).mul_(1 / 255)
            rows, columns = (
                weights(box_B4[chunk, axis::2], limits_B4[chunk, axis::2], images.shape[2 + axis], size)
                for axis in (0, 1)
            )
            made.append(rows[:, None] @ (images @ columns[:, None].mT))
        squares = torch.cat(made)
        return torch.where(turned_B1[..., None, None], squares.mT, squares).clamp_(0, 1)

    def center(self, size: int) -> Tensor:
        """The square in the middle: floats [B, C, size, size] in [0, 1]."""
        length = torch.full_like(self.height, self.side)
        box = torch.stack([(self.height - length) // 2, (self.width - length) // 2, length, length], dim=1)
        return self.squares(box, size, inside=True)


def cut_boxes(images_BCHW: Tensor, box_B4: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (top, left, height, width) of images, each cut and scaled to `size`, as `Packed.squares` does inside."""
    rows, columns = (
        weights(box_B4[:, axis::2], box_B4[:, axis::2], images_BCHW.shape[2 + axis], size[axis])[:, None]
        for axis in (0, 1)
    )
    return (rows @ (images_BCHW @ columns.mT)).clamp_(0, 1)


def weights(span_B2: Tensor, limits_B2: Tensor, num_pixels: int, size: int) -> Tensor:
    """How much each of `num_pixels` counts in each of `size` outputs [B, size, num_pixels]: triangles, of sum 1.

    The outputs divide a span (start, length) of pixels; pixels whose centers are outside the limits, of the same form,
    count nothing. A triangle reaches to the next output's center, or the next pixel's where those are farther apart.
    """
    start_B1, length_B1 = span_B2.to(torch.float32).split(1, dim=1)
    low_B1, extent_B1 = limits_B2.to(torch.float32).split(1, dim=1)
    step_B1 = length_B1 / size
    center_BS = start_B1 + (torch.arange(size, device=span_B2.device) + 0.5) * step_B1
    pixel = torch.arange(num_pixels, device=span_B2.device) + 0.5
    away_BSN = (pixel - center_BS[..., None]).abs() / step_B1.clamp(min=1)[..., None]
    counts_B1N = ((pixel > low_B1) & (pixel < low_B1 + extent_B1))[:, None]
    weight_BSN = (1 - away_BSN).clamp(min=0) * counts_B1N
    return weight_BSN / weight_BSN.sum(-1, keepdim=True)


def scaled(images_BCHW: Tensor, size: int) -> Tensor:
    """Square images scaled to `size`: bilinearly, and smoothed where they shrink."""
    side = images_BCHW.shape[-1]
    span = torch.tensor([[0.0, side]], device=images_BCHW.device)
    weight_SN = weights(span, span, side, size)[0].to(images_BCHW.dtype)
    return weight_SN @ images_BCHW @ weight_SN.mT


def as_bytes(images_BCHW: torch.Tensor) -> np.ndarray:
    """Images from 0 to 1 as uint8 [B, H, W, C], to be drawn."""
    pixels: np.ndarray = images_BCHW.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels
