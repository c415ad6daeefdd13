"""Augmentations that move pixels: flip and crop whole ones, the others by a map of positions, where the image is read.

B images, C channels, H by W pixels. The lectures name these changes without numbers; where no paper is given the
defaults are moderate values of our own.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from runner import seeds
from runner.augment.affine import PaddingMode, affine_warp, centers, rotation, sample, scaling, shearing, translation
from runner.augment.augmentation import Augmentation, Draws, Epoch
from runner.constraints import AtLeastOne, Bounds, Fraction, NonNegativeInt
from runner.errors import UserError
from runner.pictures import Packed, cut_boxes

TRIES = 10  # boxes that a random resized crop draws for each image, as torchvision does


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
        if images_BCHW.device.type == "cpu":  # reading the draws costs nothing there, and flipping all twice as much
            rows = draws["flip"].nonzero().squeeze(1)
            return images_BCHW.index_copy(0, rows, images_BCHW.index_select(0, rows).flip(-1))
        return torch.where(draws["flip"][:, None, None, None], images_BCHW.flip(-1), images_BCHW)


AUTO_PADDING = 8  # the side of an image is so many times its padding


@dataclass
class Crop(Augmentation):
    """Pads by `padding` pixels on every side and cuts a random window of the old size. Source: He et al. 2015, 4.2.

    `auto` is an eighth of the image's side, which is their 4 pixels at 32, and at least 1.
    """

    padding: NonNegativeInt | Literal["auto"] = "auto"
    padding_mode: Literal["zeros", "reflect"] = "zeros"

    def __post_init__(self) -> None:
        self.pixels = 4 if self.padding == "auto" else self.padding  # until the images are known

    def check(self, image_shape: tuple[int, int, int]) -> None:
        side = min(image_shape[1:])
        self.pixels = max(1, side // AUTO_PADDING) if self.padding == "auto" else self.padding
        if self.padding_mode == "reflect" and self.pixels >= side:
            raise UserError(
                f"augment.crop.padding: must be below the image's {side} pixels to reflect, not {self.padding}; "
                "lower it or use augment.crop.padding_mode=zeros"
            )

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"offset": torch.randint(0, 2 * self.pixels + 1, (num_images, 2), generator=generator)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        padded = F.pad(images_BCHW, (self.pixels,) * 4, mode="constant" if self.padding_mode == "zeros" else "reflect")
        windows = padded.unfold(2, H, 1).unfold(3, W, 1)  # a view [B, C, offsets, offsets, H, W]
        image = torch.arange(len(images_BCHW), device=images_BCHW.device)
        return windows[image, :, draws["offset"][:, 0], draws["offset"][:, 1]]


class _Affine(Augmentation):
    """An affine change that does not depend on the size of the image: the draws are its matrices [B, 2, 3]."""

    # Half a pixel beyond the outermost centers, where zeros would darken the rim, reflecting repeats the edge.
    padding_mode: PaddingMode = "reflect"

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        return affine_warp(images_BCHW, draws["matrix"], self.padding_mode)


@dataclass
class ScaleCrop(_Affine):
    """Enlarges by a factor from [min_scale, max_scale] and cuts a random window of the old size.

    Source: He et al. 2015, 3.4, after Simonyan and Zisserman 2014, 3.1: the short side L is drawn from [256, 480], the
    window is 224 x 224. Here the factor is L / 224, drawn continuously, as is the window's place; the two steps are
    one bilinear sampling. Where the data has larger pictures, L is the short side of the whole picture, and the window
    is cut from its own pixels, margins and all; where it has not, the image is enlarged.
    """

    min_scale: AtLeastOne = 256 / 224
    max_scale: AtLeastOne = 480 / 224

    def __post_init__(self) -> None:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale {self.min_scale:g} must not exceed max_scale {self.max_scale:g}")

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        scale = torch.empty(num_images).uniform_(self.min_scale, self.max_scale, generator=generator)
        place = _symmetric((num_images, 2), 1, generator)  # -1: the window at the left or top, 1: right or bottom
        matrix = scaling(scale, scale)
        matrix[:, :, 2] = place * (1 - 1 / scale)[:, None]
        return {"matrix": matrix, "scale": scale, "place": place}

    @property
    def picture_scale(self) -> float:
        return self.max_scale

    def cut(self, pictures: Packed, draws: Draws, size: int) -> Tensor:
        side_B = pictures.short / draws["scale"]  # of the window, in pixels of the picture
        left_B, top_B = (
            (draws["place"] + 1) / 2 * torch.stack([pictures.width, pictures.height], 1).sub(side_B[:, None])
        ).unbind(1)
        return pictures.squares(torch.stack([top_B, left_B, side_B, side_B], dim=1), size, inside=False)


@dataclass
class RandomResizedCrop(Augmentation):
    """Cuts a box of random area and aspect, and scales it to the old size.

    The area is a share from [min_area, max_area] of the picture's, the aspect from [1 / aspect, aspect], uniform in the
    logarithm; the first of ten such boxes that fits is taken, at a uniform place in whole pixels, or else the largest
    box in the middle that the aspect allows. `picture_scale`: the short side at which pictures are kept, where the data
    has larger ones, as a multiple of the images'; smaller boxes are enlarged. Source: Szegedy et al. 2014, section 6;
    torchvision's RandomResizedCrop with antialias.
    """

    min_area: Annotated[float, Bounds(0, 1, low_open=True)] = 0.08
    max_area: Annotated[float, Bounds(0, 1, low_open=True)] = 1.0
    aspect: AtLeastOne = 4 / 3
    picture_scale: AtLeastOne = 480 / 224

    def __post_init__(self) -> None:
        if self.min_area > self.max_area:
            raise ValueError(f"min_area {self.min_area:g} must not exceed max_area {self.max_area:g}")

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        area = torch.empty(num_images, TRIES).uniform_(self.min_area, self.max_area, generator=generator)
        aspect = _symmetric((num_images, TRIES), math.log(self.aspect), generator).exp()
        return {"area": area, "aspect": aspect, "place": torch.rand(num_images, 2, generator=generator)}

    def boxes(self, height_B: Tensor, width_B: Tensor, draws: Draws) -> Tensor:
        """Boxes (top, left, height, width) in whole pixels [B, 4] of pictures of these sizes."""
        area_BN = (height_B * width_B)[:, None] * draws["area"]
        widths_BN, heights_BN = ((area_BN * draws["aspect"] ** sign).sqrt().round() for sign in (1, -1))
        fits_BN = (widths_BN <= width_B[:, None]) & (heights_BN <= height_B[:, None])
        fits_BN &= (widths_BN > 0) & (heights_BN > 0)
        first_B1 = fits_BN.to(torch.uint8).argmax(1, keepdim=True)
        largest_B2 = torch.stack(
            [
                torch.minimum(height_B, (width_B * self.aspect).round()),  # of a picture too narrow for the aspect
                torch.minimum(width_B, (height_B * self.aspect).round()),
            ],
            dim=1,
        )
        drawn_B2 = torch.cat([part.gather(1, first_B1) for part in (heights_BN, widths_BN)], dim=1)
        any_B1 = fits_BN.any(1, keepdim=True)
        size_B2 = torch.where(any_B1, drawn_B2, largest_B2)
        room_B2 = torch.stack([height_B, width_B], dim=1) - size_B2
        place_B2 = (draws["place"] * (room_B2 + 1)).floor().minimum(room_B2)
        return torch.cat([torch.where(any_B1, place_B2, (room_B2 / 2).floor()), size_B2], dim=1)

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        height_B, width_B = (draws["place"].new_full((len(images_BCHW),), size) for size in (H, W))
        return cut_boxes(images_BCHW, self.boxes(height_B, width_B, draws), (H, W))

    def cut(self, pictures: Packed, draws: Draws, size: int) -> Tensor:
        return pictures.squares(self.boxes(pictures.height, pictures.width, draws), size, inside=True)


@dataclass
class Translate(Augmentation):
    """Moves each image by whole pixels, up to `fraction` of its width and of its height."""

    fraction: Fraction = 0.1
    padding_mode: PaddingMode = "zeros"

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"shift": _symmetric((num_images, 2), self.fraction, generator)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        x, y = draws["shift"].unbind(-1)
        matrix = translation((x * W).round() * (2 / W), (y * H).round() * (2 / H))
        return affine_warp(images_BCHW, matrix, self.padding_mode)


@dataclass
class Rotate(_Affine):
    """Turns each image about its center by an angle from [-degrees, degrees]."""

    degrees: Annotated[float, Bounds(0, 180)] = 15.0
    padding_mode: PaddingMode = "zeros"

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"matrix": rotation(_symmetric((num_images,), self.degrees, generator))}


@dataclass
class Stretch(_Affine):
    """Stretches width and height each by its own factor from [1 / factor, factor], uniform in the logarithm."""

    factor: AtLeastOne = 1.25
    padding_mode: PaddingMode = "zeros"

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        factors = _symmetric((num_images, 2), math.log(self.factor), generator).exp()
        return {"matrix": scaling(*factors.unbind(1))}


@dataclass
class Shear(_Affine):
    """Slants each image along x and along y, each by its own angle from [-degrees, degrees]."""

    degrees: Annotated[float, Bounds(0, 60)] = 10.0
    padding_mode: PaddingMode = "zeros"

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"matrix": shearing(*_symmetric((num_images, 2), self.degrees, generator).unbind(1))}


@dataclass
class Lens(Augmentation):
    """Distorts as a lens does: the pixel at radius r shows the input at `r * (1 + k * r^2)`.

    r is the distance from the center, 1 at the corners; k is from [-strength, strength]. Positive k makes a barrel,
    negative k a pincushion; beyond 1/3 the image would fold over itself. Source: Brown 1966, the first radial term.
    """

    strength: Annotated[float, Bounds(0, 1 / 3)] = 0.2
    padding_mode: PaddingMode = "zeros"

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        return {"k": _symmetric((num_images,), self.strength, generator)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        y, x = torch.meshgrid(centers(H, images_BCHW.device), centers(W, images_BCHW.device), indexing="ij")
        square_HW = (x.square() * W**2 + y.square() * H**2) / (W**2 + H**2)
        reach_BHW = 1 + draws["k"][:, None, None] * square_HW
        return sample(images_BCHW, torch.stack([x, y], dim=-1) * reach_BHW[..., None], self.padding_mode)


def _symmetric(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Uniform numbers from [-bound, bound]."""
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
