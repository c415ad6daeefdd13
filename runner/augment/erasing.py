"""Random erasing: a box of an image is painted over.

B images, C channels, H by W pixels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from runner.augment.augmentation import Augmentation, Draws
from runner.constraints import AtLeastOne, Fraction

TRIES = 10  # boxes that are drawn for each image, as torchvision does


@dataclass
class RandomErasing(Augmentation):
    """Paints a box over, with probability `p`: black, or one random color an image.

    The box's area is a share from [min_area, max_area] of the image's, its height over its width from [1 / aspect,
    aspect], uniform in the logarithm. The first of ten such boxes that is lower and narrower than the image is taken,
    at a uniform place in whole pixels; if none is, the image stays. Source: Zhong et al. 2017, Random Erasing;
    torchvision's RandomErasing. Here it comes before the preprocessing, so that black is 0 before and not after it.
    """

    p: Fraction = 0.5
    min_area: Fraction = 0.02
    max_area: Fraction = 0.33
    aspect: AtLeastOne = 3.3
    fill: Literal["black", "color"] = "black"

    def __post_init__(self) -> None:
        if self.min_area > self.max_area:
            raise ValueError(f"min_area {self.min_area:g} must not exceed max_area {self.max_area:g}")

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        shape, log = (num_images, TRIES), math.log(self.aspect)
        return {
            "erased": torch.rand(num_images, generator=generator) < self.p,
            "area": torch.empty(shape).uniform_(self.min_area, self.max_area, generator=generator),
            "aspect": torch.empty(shape).uniform_(-log, log, generator=generator).exp(),
            "place": torch.rand(num_images, 2, generator=generator),
            "color": torch.rand(num_images, 3, generator=generator),
        }

    def boxes(self, height: int, width: int, draws: Draws) -> Tensor:
        """Boxes (top, left, height, width) in whole pixels [B, 4]; height and width 0 where nothing is erased."""
        area_BN = draws["area"] * (height * width)
        heights_BN, widths_BN = (area_BN * draws["aspect"]).sqrt().round(), (area_BN / draws["aspect"]).sqrt().round()
        fits_BN = (heights_BN < height) & (widths_BN < width)
        first_B1 = fits_BN.to(torch.uint8).argmax(1, keepdim=True)
        acts_B1 = fits_BN.any(1, keepdim=True) & draws["erased"][:, None]
        size_B2 = torch.cat([part.gather(1, first_B1) for part in (heights_BN, widths_BN)], dim=1)
        size_B2 = torch.where(acts_B1, size_B2, 0.0)
        room_B2 = torch.stack([height - size_B2[:, 0], width - size_B2[:, 1]], dim=1)
        place_B2 = (draws["place"] * (room_B2 + 1)).floor().minimum(room_B2)
        return torch.cat([place_B2, size_B2], dim=1)

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        top, left, height, width = self.boxes(H, W, draws)[:, :, None].unbind(1)
        row_H, column_W = (torch.arange(size, device=images_BCHW.device) for size in (H, W))
        rows_BH = (row_H >= top) & (row_H < top + height)
        columns_BW = (column_W >= left) & (column_W < left + width)
        inside = (rows_BH[:, :, None] & columns_BW[:, None, :])[:, None]
        C = images_BCHW.shape[1]
        colors = draws["color"].repeat(1, -(-C // 3))[:, :C, None, None]
        return torch.where(inside, colors if self.fill == "color" else 0.0, images_BCHW)
