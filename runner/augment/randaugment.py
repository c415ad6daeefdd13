"""RandAugment: a few operations an image, chosen at random, all of one strength.

B images, C channels, H by W pixels. torchvision's `RandAugment` chooses once for a whole batch; here every image has
its own choice. Posterize, solarize, autocontrast and equalize take the same number for all images: they are
torchvision's. Its sharpness copies a kernel from the host each time, so that one is written here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from runner.augment.affine import PaddingMode, affine, affine_warp
from runner.augment.augmentation import Augmentation, Draws
from runner.augment.color import adjust_brightness, adjust_contrast, adjust_saturation, adjust_sharpness, check_channels
from runner.constraints import Bounds, NonNegativeInt

MAX_MAGNITUDE = 30
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BLENDS = {
    "brightness": adjust_brightness,
    "saturation": adjust_saturation,
    "contrast": adjust_contrast,
    "sharpness": adjust_sharpness,
}
OPS = ("identity", *GEOMETRIC, *BLENDS, "posterize", "solarize", "autocontrast", "equalize")


@dataclass
class RandAugment(Augmentation):
    """Changes each image by `num_ops` operations, drawn with replacement from `OPS`, at `magnitude` of 30.

    At magnitude 30: shear by a slope of 0.3 about the top left corner, translate by 150/331 of the side, rotate by 30
    degrees, blend by 0.9 (brightness, saturation, contrast, sharpness), either way by a coin; posterize to 4 bits,
    solarize above 0. Autocontrast and equalize have no strength. Source: Cubuk et al. 2020, with torchvision's ranges;
    bilinear where torchvision takes the nearest pixel.
    """

    num_ops: NonNegativeInt = 2
    magnitude: Annotated[int, Bounds(0, MAX_MAGNITUDE)] = 9
    padding_mode: PaddingMode = "zeros"

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_channels("randaugment", image_shape[0])

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        shape = (num_images, self.num_ops)
        return {
            "op": torch.randint(0, len(OPS), shape, generator=generator),
            "sign": torch.randint(0, 2, shape, generator=generator) * 2.0 - 1,
        }

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        for op_B, sign_B in zip(draws["op"].unbind(1), draws["sign"].unbind(1), strict=True):
            images_BCHW = self._round(images_BCHW, op_B, sign_B)
        return images_BCHW

    def _round(self, images: Tensor, op_B: Tensor, sign_B: Tensor) -> Tensor:
        """One operation on each image."""
        from torchvision.transforms.v2 import functional as tv  # here: importing it takes a second

        share = self.magnitude / MAX_MAGNITUDE
        factor_B = 1 + 0.9 * share * sign_B
        alike: dict[str, Callable[[Tensor], Tensor]] = {
            "posterize": partial(tv.posterize_image, bits=8 - round(4 * share)),
            "solarize": partial(tv.solarize_image, threshold=1 - share),
            "autocontrast": tv.autocontrast_image,
            "equalize": tv.equalize_image,
        }
        result = images.clone()
        write = write_rows if images.device.type == "cpu" else write_masked
        first, last = OPS.index(GEOMETRIC[0]), OPS.index(GEOMETRIC[-1])
        matrix_B23 = _matrices(op_B, sign_B * share, *images.shape[-2:])
        move = partial(affine_warp, padding_mode=self.padding_mode)
        write(result, (op_B >= first) & (op_B <= last), move, images, matrix_B23)
        for name, blend in BLENDS.items():
            write(result, op_B == OPS.index(name), blend, images, factor_B)
        for name, function in alike.items():
            write(result, op_B == OPS.index(name), function, images)
        return result


def write_rows(result: Tensor, mask_B: Tensor, change: Callable[..., Tensor], images: Tensor, *numbers: Tensor) -> None:
    """`change` where the mask is true, computed for these images alone: right where reading the mask costs nothing."""
    rows = mask_B.nonzero().squeeze(1)
    if len(rows):
        result[rows] = change(images[rows], *(number[rows] for number in numbers))


def write_masked(
    result: Tensor, mask_B: Tensor, change: Callable[..., Tensor], images: Tensor, *numbers: Tensor
) -> None:
    """The same without looking at the mask: computed for all images, kept where it is true."""
    torch.where(mask_B[:, None, None, None], change(images, *numbers), result, out=result)


def _matrices(op_B: Tensor, share_B: Tensor, H: int, W: int) -> Tensor:
    """The matrix of each image's move, the identity for other operations; `share` is the signed part of the maximum."""

    def amount(name: str, maximum: float) -> Tensor:
        return torch.where(op_B == OPS.index(name), share_B * maximum, 0.0)

    x_slope, y_slope = amount("shear_x", 0.3), amount("shear_y", 0.3)
    x_shift, y_shift = amount("translate_x", 150 / 331 * W).trunc(), amount("translate_y", 150 / 331 * H).trunc()
    angle = amount("rotate", torch.pi / 6)
    sin, cos = angle.sin(), angle.cos()
    x = x_slope * (H / W) - x_shift * (2 / W)
    y = y_slope * (W / H) - y_shift * (2 / H)
    return affine(cos, x_slope - sin, x, y_slope + sin, cos, y)
