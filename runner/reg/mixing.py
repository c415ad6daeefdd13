"""Regularizers that mix images of a batch, hide a part of each, or soften the targets.

B images, C channels, H by W pixels, K classes. Images come preprocessed and on the device. Every number is drawn on
the CPU and nothing waits for the device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runner.constraints import Fraction, FractionBelowOne, NonNegative
from runner.reg.regularizer import Regularizer


@dataclass
class Mixup(Regularizer):
    """Blends each image and its targets with those of another: `m x_i + (1 - m) x_j`, `m ~ Beta(alpha, alpha)`.

    j is a permutation of the batch and m one number a batch, as in the authors' code. alpha 0 mixes nothing.
    Source: Zhang et al. 2018.
    """

    alpha: NonNegative = 0.2

    def mix(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        kept, partner = _beta(self.alpha, generator), _permutation(images, generator)
        return images.lerp(images[partner], 1 - kept), targets.lerp(targets[partner], 1 - kept)


@dataclass
class CutMix(Regularizer):
    """Pastes a box from another image into each; the targets are mixed by area.

    The box has the image's proportions and, before it is cut at the edges, the share `1 - m` of its area,
    `m ~ Beta(alpha, alpha)`; its center is uniform. One box and one permutation a batch, as published. The targets keep
    exactly the share of pixels that the image keeps. Source: Yun et al. 2019, section 3.2 and algorithm A1.
    """

    alpha: NonNegative = 1.0

    def mix(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        H, W = images.shape[-2:]
        side = (1 - _beta(self.alpha, generator)) ** 0.5
        top, bottom = _span(H, int(H * side), generator)
        left, right = _span(W, int(W * side), generator)
        partner = _permutation(images, generator)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
        return mixed, targets.lerp(targets[partner], (bottom - top) * (right - left) / (H * W))


@dataclass
class Cutout(Regularizer):
    """Hides a square of each image: `fraction` of its short side long, centered anywhere, cut at the edges.

    The square is 0 after preprocessing: the mean color, where preprocessing subtracts the mean.
    Source: DeVries and Taylor 2017: 16 of 32 pixels for CIFAR-10, 8 for CIFAR-100.
    """

    fraction: Fraction = 0.5

    def mix(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        B, _, H, W = images.shape
        length = round(self.fraction * min(H, W))
        center_B2 = (torch.rand(B, 2, generator=generator) * torch.tensor([H, W])).long()
        start_B2 = (center_B2 - length // 2).to(images.device, non_blocking=True)
        rows_BH = _within(start_B2[:, :1], length, H)
        columns_BW = _within(start_B2[:, 1:], length, W)
        hidden_B1HW = (rows_BH[:, :, None] & columns_BW[:, None, :])[:, None]
        return images.clone().masked_fill_(hidden_B1HW, 0), targets  # a clone keeps the memory format


@dataclass
class LabelSmoothing(Regularizer):
    """`(1 - smoothing) * onehot + smoothing / K`. Source: Szegedy et al. 2016, section 7."""

    smoothing: FractionBelowOne = 0.1

    def transform_targets(self, targets: Tensor) -> Tensor:
        return targets * (1 - self.smoothing) + self.smoothing / targets.shape[-1]


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A number from Beta(alpha, alpha); 1 for alpha 0. torch's own sampler takes no generator, so numpy's does it."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha)) if alpha > 0 else 1.0


def _permutation(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)


def _span(size: int, length: int, generator: torch.Generator) -> tuple[int, int]:
    """Start and end of a stretch of pixels about a uniform center, cut at the edges."""
    start = int(torch.randint(size, (), generator=generator)) - length // 2
    return max(0, start), min(size, start + length)


def _within(start_B1: Tensor, length: int, size: int) -> Tensor:
    """Which of `size` positions lie in each stretch [B, size]."""
    position = torch.arange(size, device=start_B1.device)
    return (position >= start_B1) & (position < start_B1 + length)
