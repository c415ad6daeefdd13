"""RandAugment: a few operations an image, chosen at random, all of one strength.

torchvision's `RandAugment` chooses once for a whole batch; here every image has its own choice.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from runner.augment.affine import PaddingMode
from runner.augment.augmentation import Augmentation, Draws
from runner.augment.color import check_channels
from runner.augment.operations import BLENDS, OPS, operate, strengths
from runner.constraints import Bounds, NonNegativeInt

MAX_MAGNITUDE = 30


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
        H, W = images_BCHW.shape[-2:]
        share = self.magnitude / MAX_MAGNITUDE
        amounts = {"shear_x": 0.3 * share, "shear_y": 0.3 * share, "rotate": 30 * share}
        amounts |= {"translate_x": 150 / 331 * W * share, "translate_y": 150 / 331 * H * share}
        amounts |= dict.fromkeys(BLENDS, 0.9 * share) | {"posterize": 8 - round(4 * share), "solarize": 1 - share}
        spans = {name: torch.tensor([float(amount)]) for name, amount in amounts.items()}
        for op_B, sign_B in zip(draws["op"].unbind(1), draws["sign"].unbind(1), strict=True):
            strength_B = strengths(spans, op_B, torch.zeros_like(op_B), sign_B)
            images_BCHW = operate(images_BCHW, op_B, strength_B, self.padding_mode)
        return images_BCHW
