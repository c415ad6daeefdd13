"""Test-time augmentation: the mean of the class probabilities, say, over several changed copies of each image.

B images, C channels, S by S pixels, K classes. Images are preprocessed; the copies have the network's own size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import AtLeastOne, PositiveInt
from runner.errors import UserError
from runner.pictures import scaled


class TTA:
    """`tta(network, images)` gives scores [B, K]: the log of the mean probability over the copies.

    Attributes:
        size: S of the network's images, where the given ones are larger, to cut from; None where they are those.
    """

    size: int | None = None

    @property
    def picture_scale(self) -> float:
        """The side of the images to cut from, as a multiple of that of the network's."""
        return 1.0

    def __call__(self, network: nn.Module, images_BCSS: Tensor) -> Tensor:
        log_probabilities = [F.log_softmax(network(copy), dim=1) for copy in self.copies(images_BCSS)]
        return torch.stack(log_probabilities).logsumexp(0) - math.log(len(log_probabilities))

    def copies(self, images_BCSS: Tensor) -> Iterator[Tensor]:
        """The changed images, each [B, C, S, S]."""
        raise NotImplementedError


class Single(TTA):
    """The image as it is; scores are the network's own."""

    def __call__(self, network: nn.Module, images_BCSS: Tensor) -> Tensor:
        return network(images_BCSS)


class Flip(TTA):
    """The image and its mirror image."""

    def copies(self, images_BCSS: Tensor) -> Iterator[Tensor]:
        yield images_BCSS
        yield images_BCSS.flip(-1)


@dataclass
class FlipTranslate(TTA):
    """The image, moved by `pixels` up and left, and down and right; each with its mirror image. Edges are reflected.

    The scores themselves are averaged: half the weight for the image where it is, half for the moved ones.
    Source: Jordan 2024, arXiv 2404.00498.
    """

    pixels: PositiveInt = 1

    def __call__(self, network: nn.Module, images_BCSS: Tensor) -> Tensor:
        here, mirrored, *moved = (network(copy) for copy in self.copies(images_BCSS))
        return (here + mirrored) / 4 + torch.stack(moved).mean(0) / 2

    def copies(self, images_BCSS: Tensor) -> Iterator[Tensor]:
        size = images_BCSS.shape[-1]
        if self.pixels >= size:
            raise UserError(f"tta.pixels: must be below the image's {size} pixels to reflect, not {self.pixels}")
        padded = F.pad(images_BCSS, (self.pixels,) * 4, mode="reflect")
        for copy in (images_BCSS, padded[..., :size, :size], padded[..., -size:, -size:]):
            yield copy
            yield copy.flip(-1)


@dataclass
class TenCrop(TTA):
    """Four corners and the center of the image enlarged by `scale`, and their mirror images.

    Cut by torchvision's ten_crop. Images that are larger already, as `size` tells, are cut as they are.
    Source: Krizhevsky et al. 2012, section 4.1 (224 of 256 pixels).
    """

    scale: AtLeastOne = 256 / 224

    @property
    def picture_scale(self) -> float:
        return self.scale

    def copies(self, images_BCSS: Tensor) -> Iterator[Tensor]:
        yield from _ten_crops(images_BCSS, self.size or images_BCSS.shape[-1], self.scale)


@dataclass
class MultiScale(TTA):
    """Ten crops at each of several scales. Source: He et al. 2015, section 3.4: {224, 256, 384, 480, 640} for 224."""

    scales: Sequence[AtLeastOne] = (1.0, 256 / 224, 384 / 224, 480 / 224, 640 / 224)

    @property
    def picture_scale(self) -> float:
        return max(self.scales, default=1.0)

    def copies(self, images_BCSS: Tensor) -> Iterator[Tensor]:
        for scale in self.scales:
            yield from _ten_crops(images_BCSS, self.size or images_BCSS.shape[-1], scale)


def _ten_crops(images_BCSS: Tensor, size: int, scale: float) -> Iterator[Tensor]:
    """Corners, center and their mirror images [B, C, size, size] of images scaled to `scale` times that."""
    from torchvision.transforms.v2.functional import ten_crop

    side, wanted = images_BCSS.shape[-1], round(size * scale)
    if wanted > side:
        images_BCSS = F.interpolate(images_BCSS, size=(wanted, wanted), mode="bilinear", align_corners=False)
    elif wanted < side:
        images_BCSS = scaled(images_BCSS, wanted)
    yield from ten_crop(images_BCSS, [size, size])


@dataclass
class MCDropout(TTA):
    """Several forward passes with the network's noise (dropout, fractional pooling and their kin) left on.

    Normalization layers keep their fixed statistics. The draws are the same for every call and leave those of the
    training alone. Source: Gal and Ghahramani 2016; Graham 2014.
    """

    num_passes: PositiveInt = 10

    def __call__(self, network: nn.Module, images_BCSS: Tensor) -> Tensor:
        modes = {module: module.training for module in network.modules()}
        device = images_BCSS.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            for module in modes:
                module.training = not hasattr(module, "track_running_stats")  # which all normalization with them has
            try:
                return super().__call__(_FirstOutput(network), images_BCSS)
            finally:
                for module, mode in modes.items():
                    module.training = mode

    def copies(self, images_BCSS: Tensor) -> Iterator[Tensor]:
        for _ in range(self.num_passes):
            yield images_BCSS


class _FirstOutput(nn.Module):
    """A network's scores alone, where it gives auxiliary ones beside them in training mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        output = self.network(images)
        return output if isinstance(output, Tensor) else output[0]
