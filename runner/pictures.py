"""Whole pictures of several shapes in one tensor, and squares cut from them and scaled in one step.

B images, C channels, L the largest short side at which pictures are kept, S the side of a square. A packed picture is
uint8 [C, L + 1, LONGEST * L]: lying, so that a standing one is transposed, at the top left; black elsewhere. The last
row holds its height and width, so that they go wherever its pixels go.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import default_collate

Pictures = Tensor | list[Tensor]  # uint8 [B, C, H, W], or B of [C, H, W] on the CPU

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
    """Width and height of a lying picture that is kept: its short side at most `side`, the long one `LONGEST` of it.

    Pictures are never enlarged: what is cut from them is scaled once.
    """
    short, long = sorted((width, height))
    kept = min(short, side)
    return min(max(kept, round(long * kept / short)), LONGEST * kept), kept


def pack(picture_HWC: np.ndarray, side: int) -> np.ndarray:
    """A picture [H, W, C], as it is seen, as uint8 [C, side + 1, LONGEST * side]."""
    H, W, C = picture_HWC.shape
    packed = np.zeros((C, side + 1, LONGEST * side), dtype=np.uint8)
    packed[:, : min(H, W), : max(H, W)] = picture_HWC.transpose((2, 1, 0) if H > W else (2, 0, 1))
    packed[0, side, :4] = (*divmod(H, 256), *divmod(W, 256))
    return packed


class Packed:
    """Pictures [B, C, L + 1, LONGEST * L] with what their last rows say, on their device.

    Attributes:
        height, width, short: of each picture as it is seen, and the smaller of both [B].
    """

    def __init__(self, pixels: Pictures) -> None:
        self.pixels = pixels
        if isinstance(pixels, list):
            row_B4 = torch.stack([picture[0, -1, :4] for picture in pixels]).long()
        else:
            row_B4 = pixels[:, 0, -1, :4].long()
        self.height, self.width = (row_B4[:, at] * 256 + row_B4[:, at + 1] for at in (0, 2))
        self.short = torch.minimum(self.height, self.width)

    def squares(self, box_B4: Tensor, size: int, inside: bool) -> Tensor:
        """Boxes (top, left, height, width), in pixels of the pictures, as uint8 [B, C, size, size].

        Scaled bilinearly, and smoothed where they shrink, as torchvision's `antialias=True`. `inside`: what lies beyond
        the box does not count, as if it was cut before it is scaled; else it is cut afterwards.
        """
        whole_B4 = torch.stack([torch.zeros_like(self.height)] * 2 + [self.height, self.width], dim=1)
        limits_B4 = box_B4 if inside else whole_B4.to(box_B4.dtype)
        standing_B = self.height > self.width
        if isinstance(self.pixels, list) or self.pixels.device.type == "cpu":
            return cut_one_by_one(self.pixels, box_B4, limits_B4, standing_B, size)
        return cut_together(self.pixels, box_B4, limits_B4, standing_B, size)

    def center(self, size: int) -> Tensor:
        """The square in the middle: uint8 [B, C, size, size]."""
        top, left = ((length - self.short) // 2 for length in (self.height, self.width))
        box = torch.stack([top, left, self.short, self.short], dim=1)
        return self.squares(box, size, inside=True)


def cut_together(pixels: Tensor, box_B4: Tensor, limits_B4: Tensor, standing_B: Tensor, size: int) -> Tensor:
    """Boxes of packed pictures as uint8 [B, C, size, size], without reading a box on the host.

    Args:
        limits_B4: what counts of a picture, of the same form as the boxes: the box, or the whole picture.
        standing_B: which pictures are stored transposed.
    """
    turned_B1 = standing_B[:, None]
    box_B4, limits_B4 = (torch.where(turned_B1, _turned(part), part) for part in (box_B4, limits_B4))
    made = []
    for start in range(0, len(pixels), CHUNK):
        chunk = slice(start, start + CHUNK)
        images = pixels[chunk].to(torch.float32)
        rows, columns = (
            weights(box_B4[chunk, axis::2], limits_B4[chunk, axis::2], images.shape[2 + axis], size) for axis in (0, 1)
        )
        made.append(rows[:, None] @ (images @ columns[:, None].mT))
    squares = torch.cat(made)
    return _as_uint8(torch.where(turned_B1[..., None, None], squares.mT, squares))


def cut_one_by_one(pixels: Pictures, box_B4: Tensor, limits_B4: Tensor, standing_B: Tensor, size: int) -> Tensor:
    """The same on the CPU, where reading a box costs nothing and the pixels outside it would be most of the work.

    torch scales uint8 by weights of 16 bits, so that some pixels differ by 1 from those of `cut_together`.
    """
    each = zip(pixels, box_B4.tolist(), limits_B4.tolist(), standing_B.tolist(), strict=True)
    squares = [_cut_one(picture, box, limits, standing, size) for picture, box, limits, standing in each]
    return default_collate(squares)  # stacked; in a data worker right into the memory that the processes share


def _cut_one(picture_CHW: Tensor, box: Sequence[float], limits: Sequence[float], standing: bool, size: int) -> Tensor:
    seen_CHW = picture_CHW.mT if standing else picture_CHW
    starts, ends = [], []
    for start, length, low, extent in zip(box[:2], box[2:], limits[:2], limits[2:], strict=True):
        reach = max(1.0, length / size)  # of the triangles beyond the box
        starts.append(int(max(low, start - reach)))
        ends.append(math.ceil(min(low + extent, start + length + reach)))
    images = seen_CHW[None, :, starts[0] : ends[0], starts[1] : ends[1]]
    if box == limits == [*starts, ends[0] - starts[0], ends[1] - starts[1]]:  # whole pixels, and all that counts
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)[0]
    spans = torch.tensor([box, limits]) - torch.tensor([*starts, 0, 0])
    rows, columns = (
        weights(spans[:1, axis::2], spans[1:, axis::2], images.shape[2 + axis], size)[0] for axis in (0, 1)
    )
    return _as_uint8(rows @ (images[0].to(torch.float32) @ columns.mT))


def _turned(box_B4: Tensor) -> Tensor:
    """Boxes of transposed pictures: an index would be copied to the device."""
    return box_B4.unflatten(1, (2, 2)).flip(2).flatten(1)


def _as_uint8(pixels: Tensor) -> Tensor:
    return pixels.clamp_(0, 255).round_().to(torch.uint8)


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
