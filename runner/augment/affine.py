"""Where each output pixel reads the input: affine matrices, and the one bilinear sampling that all of them share.

B images, C channels, H by W pixels. A matrix [2, 3] takes an output pixel (x, y, 1), x to the right and y down from
the image's center, to the input position that it shows: the inverse of what happens to the content. Its 2x2 part is in
pixels; its last column counts half widths and half heights, so a matrix does not depend on the size of the images.
Positions are summed here rather than by `affine_grid`, whose matrix product is rounded otherwise from device to device
(TF32) and takes most of the time on a CPU; `grid_sample` does the rest, as in torchvision's `affine` and `rotate`.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PaddingMode = Literal["zeros", "reflect"]  # what lies outside the image: black, or the image mirrored at its edge


def affine(xx: Tensor, xy: Tensor, x: Tensor, yx: Tensor, yy: Tensor, y: Tensor) -> Tensor:
    """Matrices [B, 2, 3] with rows (xx, xy, x) and (yx, yy, y), each given as [B]."""
    return torch.stack([xx, xy, x, yx, yy, y], dim=-1).unflatten(-1, (2, 3))


def rotation(degrees_B: Tensor) -> Tensor:
    """Content turned counter-clockwise about the center."""
    angle = degrees_B.deg2rad()
    zero = torch.zeros_like(angle)
    return affine(angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero)


def shearing(x_degrees_B: Tensor, y_degrees_B: Tensor) -> Tensor:
    """Content slanted along y, then along x, in the sense of torchvision's `affine(shear=[x, y])`."""
    x, y = x_degrees_B.deg2rad().tan(), y_degrees_B.deg2rad().tan()
    zero = torch.zeros_like(x)
    return affine(1 + x * y, x, zero, y, torch.ones_like(x), zero)


def scaling(x_B: Tensor, y_B: Tensor) -> Tensor:
    """Content enlarged about the center by these factors."""
    zero = torch.zeros_like(x_B)
    return affine(1 / x_B, zero, zero, zero, 1 / y_B, zero)


def translation(x_B: Tensor, y_B: Tensor) -> Tensor:
    """Content moved to the right by `x` half widths and down by `y` half heights."""
    one, zero = torch.ones_like(x_B), torch.zeros_like(x_B)
    return affine(one, zero, -x_B, zero, one, -y_B)


def affine_warp(images_BCHW: Tensor, matrix_B23: Tensor, padding_mode: PaddingMode) -> Tensor:
    """The images read where the matrices point, bilinearly."""
    H, W = images_BCHW.shape[-2:]
    xx, xy, x, yx, yy, y = matrix_B23.flatten(1)[:, :, None, None].unbind(1)
    column_W, row_H1 = centers(W, images_BCHW.device), centers(H, images_BCHW.device)[:, None]
    # What depends on the column alone, then what depends on the row alone.
    x_BHW = (xx * column_W + x) + (H / W) * xy * row_H1
    y_BHW = ((W / H) * yx * column_W + y) + yy * row_H1
    return sample(images_BCHW, torch.stack([x_BHW, y_BHW], dim=-1), padding_mode)


def centers(size: int, device: torch.device) -> Tensor:
    """Where the pixels' centers lie, in half sizes from the middle [size]."""
    return (torch.arange(size, device=device) * 2 + (1 - size)) / size


def sample(images_BCHW: Tensor, grid_BHW2: Tensor, padding_mode: PaddingMode) -> Tensor:
    """The images read at positions (x, y) in half sizes from the center, bilinearly."""
    mode = "reflection" if padding_mode == "reflect" else padding_mode
    # The four weights of a pixel may sum to a little more than 1 after rounding.
    return F.grid_sample(images_BCHW, grid_BHW2, padding_mode=mode, align_corners=False).clamp_(0, 1)
