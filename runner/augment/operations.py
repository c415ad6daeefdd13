"""The operations that learned and random policies choose from, each image by its own choice and strength.

B images, C channels, H by W pixels. Strengths are those of torchvision's policies: a slope (shear about the top left
corner), whole pixels (translate), degrees (rotate), what is added to the factor 1 of a blend (brightness, saturation,
contrast, sharpness), bits that are left (posterize), a threshold (solarize). Moves are bilinear where torchvision takes
the nearest pixel. Autocontrast and equalize take no number: they are torchvision's. Its sharpness copies a kernel from
the host each time, so that one is written in `color`.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from runner.augment.affine import PaddingMode, affine, affine_warp
from runner.augment.color import adjust_brightness, adjust_contrast, adjust_saturation, adjust_sharpness

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BLENDS = {
    "brightness": adjust_brightness,
    "saturation": adjust_saturation,
    "contrast": adjust_contrast,
    "sharpness": adjust_sharpness,
}
# The operations of RandAugment and TrivialAugment; AutoAugment has one more.
OPS = ("identity", *GEOMETRIC, *BLENDS, "posterize", "solarize", "autocontrast", "equalize")
ALL_OPS = (*OPS, "invert")
SIGNED = frozenset((*GEOMETRIC, *BLENDS))  # either way, by a coin


def strengths(spans: Mapping[str, Tensor], op_B: Tensor, bin_B: Tensor, sign_B: Tensor) -> Tensor:
    """The strength of each image's operation [B]: entry `bin` of the operation's span, by a sign where it has two.

    Operations without a span have 0.
    """
    num_bins = max(len(span) for span in spans.values())
    table = torch.zeros(len(ALL_OPS), num_bins)
    for name, span in spans.items():
        table[ALL_OPS.index(name)] = span
    both_ways = torch.tensor([name in SIGNED for name in ALL_OPS])
    table, both_ways = (part.to(op_B.device, non_blocking=True) for part in (table, both_ways))
    return table[op_B, bin_B] * torch.where(both_ways[op_B], sign_B, 1.0)


def operate(images_BCHW: Tensor, op_B: Tensor, strength_B: Tensor, padding_mode: PaddingMode) -> Tensor:
    """One operation on each image: indices into `ALL_OPS`, and their strengths."""
    from torchvision.transforms.v2 import functional as tv  # here: importing it takes a second

    images, result = images_BCHW, images_BCHW.clone()
    write = write_rows if images.device.type == "cpu" else write_masked
    first, last = ALL_OPS.index(GEOMETRIC[0]), ALL_OPS.index(GEOMETRIC[-1])
    matrix_B23 = _matrices(op_B, strength_B, *images.shape[-2:])
    move = partial(affine_warp, padding_mode=padding_mode)
    write(result, (op_B >= first) & (op_B <= last), move, images, matrix_B23)
    numbered: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"posterize": posterize, "solarize": solarize}
    plain: dict[str, Callable[[Tensor], Tensor]] = {
        "autocontrast": tv.autocontrast_image,
        "equalize": tv.equalize_image,
        "invert": lambda images: 1 - images,
    }
    for name, blend in BLENDS.items():
        write(result, op_B == ALL_OPS.index(name), blend, images, 1 + strength_B)
    for name, change in numbered.items():
        write(result, op_B == ALL_OPS.index(name), change, images, strength_B)
    for name, alone in plain.items():
        write(result, op_B == ALL_OPS.index(name), alone, images)
    return result


def posterize(images_BCHW: Tensor, bits_B: Tensor) -> Tensor:
    """Colors in `2^bits` steps, each at its lower end."""
    levels = torch.exp2(bits_B)[:, None, None, None]
    return (images_BCHW * levels).floor_().minimum(levels - 1) / levels


def solarize(images_BCHW: Tensor, threshold_B: Tensor) -> Tensor:
    """What is at least as bright as the threshold inverted."""
    return torch.where(images_BCHW >= threshold_B[:, None, None, None], 1 - images_BCHW, images_BCHW)


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


def _matrices(op_B: Tensor, strength_B: Tensor, H: int, W: int) -> Tensor:
    """The matrix of each image's move, the identity for other operations."""

    def amount(name: str) -> Tensor:
        return torch.where(op_B == ALL_OPS.index(name), strength_B, 0.0)

    x_slope, y_slope = amount("shear_x"), amount("shear_y")
    x_shift, y_shift = amount("translate_x").trunc(), amount("translate_y").trunc()
    angle = amount("rotate").deg2rad()
    sin, cos = angle.sin(), angle.cos()
    x = x_slope * (H / W) - x_shift * (2 / W)
    y = y_slope * (W / H) - y_shift * (2 / H)
    return affine(cos, x_slope - sin, x, y_slope + sin, cos, y)
