"""Augmentations that change colors and leave every pixel in its place.

B images, C channels, H by W pixels. torchvision's functions of the same names take one factor for all images; these
take one an image.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.augment.augmentation import Augmentation, Draws
from runner.constraints import Bounds, NonNegative
from runner.errors import UserError


@dataclass
class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue, in this order.

    The factors of the first three are uniform in [max(0, 1 - s), 1 + s] for a strength s: 0 is black, gray of the mean
    brightness, or gray; 1 is as it was. The hue turns by a part of the color circle from [-hue, hue]. Gray images have
    neither saturation nor hue. Source: Howard 2013, section 2; torchvision draws the order too.
    """

    brightness: NonNegative = 0.4
    contrast: NonNegative = 0.4
    saturation: NonNegative = 0.4
    hue: Annotated[float, Bounds(0, 0.5)] = 0.0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_channels("color_jitter", image_shape[0])

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        strengths = torch.tensor([self.brightness, self.contrast, self.saturation])
        low, high = (1 - strengths).clamp(min=0), 1 + strengths
        uniform = torch.rand(num_images, 4, generator=generator)
        return {"factors": low + uniform[:, :3] * (high - low), "hue": (uniform[:, 3] * 2 - 1) * self.hue}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        adjustments = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
        numbers = (*draws["factors"].unbind(-1), draws["hue"])
        for strength, adjust, numbers_B in zip(strengths, adjustments, numbers, strict=True):
            if strength > 0:
                images_BCHW = adjust(images_BCHW, numbers_B)
        return images_BCHW


@dataclass
class PCAColor(Augmentation):
    """Adds `[p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T` to every pixel of an image, `a_k ~ N(0, std)`.

    p_k and l_k are the eigenvectors and eigenvalues of the covariance of the training split's pixel colors, with
    colors in [0, 1]: an eigenvalue is a variance, so the offset depends on that scale. The sum is cut to [0, 1].
    Source: Krizhevsky et al. 2012, section 4.1.
    """

    std: NonNegative = 0.1
    axes: Tensor | None = field(default=None, init=False, repr=False)  # l_k * p_k in columns [C, C], once prepared

    def prepare(self, images: Iterable[Tensor]) -> None:
        total = products = torch.zeros((), dtype=torch.float64)
        count = 0
        for chunk in images:
            colors = chunk.to(torch.float64).movedim(1, 0).flatten(1)  # [C, pixels]
            total = total + colors.sum(1)
            products = products + colors @ colors.T
            count += colors.shape[1]
        mean = total / count
        values, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
        # An eigenvector's sign is the library's choice; the same seed is to give the same pixels everywhere.
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        self.axes = (vectors * largest.sign() * values.clamp(min=0)).to(torch.float32)

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        assert self.axes is not None, "prepare comes first"
        a = torch.randn(num_images, self.axes.shape[1], generator=generator) * self.std
        return {"offset": a @ self.axes.T}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        return (images_BCHW + draws["offset"][:, :, None, None]).clamp_(0, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Pure functions, each with one number an image


def check_channels(name: str, channels: int) -> None:
    """Refuse images that are neither gray nor RGB.

    Raises:
        UserError: naming the augmentation.
    """
    if channels not in (1, 3):
        raise UserError(f"augment.{name}: works on gray or RGB images, not on {channels} channels; leave it out")


def blend(images_BCHW: Tensor, others: Tensor, factor_B: Tensor) -> Tensor:
    """`factor * images + (1 - factor) * others`, cut to [0, 1]."""
    return torch.lerp(others, images_BCHW, factor_B[:, None, None, None]).clamp_(0, 1)


def gray(images_BCHW: Tensor) -> Tensor:
    """Brightness [B, 1, H, W] of gray or RGB images: 0.2989 R + 0.587 G + 0.114 B."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    red, green, blue = images_BCHW.split(1, dim=1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def adjust_brightness(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    return (images_BCHW * factor_B[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    return blend(images_BCHW, gray(images_BCHW).mean(dim=(1, 2, 3), keepdim=True), factor_B)


def adjust_saturation(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    return blend(images_BCHW, gray(images_BCHW), factor_B)


def adjust_sharpness(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """Away from, or towards, the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13; the rim stays as it is."""
    if min(images_BCHW.shape[-2:]) <= 2:
        return images_BCHW
    smooth = images_BCHW.clone()
    inner = smooth[:, :, 1:-1, 1:-1]
    inner.mul_(4 / 13).add_(F.avg_pool2d(images_BCHW, 3, stride=1), alpha=9 / 13)
    return blend(images_BCHW, smooth, factor_B)


def adjust_hue(images_BCHW: Tensor, turn_B: Tensor) -> Tensor:
    """Hue turned by a part of the circle, value and saturation of the HSV model kept."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    red, green, blue = images_BCHW.unbind(1)
    value, which = images_BCHW.max(dim=1)
    chroma = value - images_BCHW.amin(dim=1)
    scale = chroma.clamp(min=1e-12)
    sectors = torch.stack([(green - blue) / scale, (blue - red) / scale + 2, (red - green) / scale + 4], dim=1)
    hue = sectors.gather(1, which[:, None]).squeeze(1) + 6 * turn_B[:, None, None]  # the circle has six sectors
    # From HSV: channel n is value - chroma * max(0, min(k, 4 - k, 1)), k = (n + hue) mod 6, n = 5, 3, 1 for R, G, B.
    k = torch.stack([hue + 5, hue + 3, hue + 1], dim=1).remainder(6)
    return (value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)).clamp_(0, 1)
