"""Fractional max pooling in the place of max pooling."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import OpenFraction
from runner.errors import UserError
from runner.reg.regularizer import Regularizer

KERNEL = 2
SPREAD = (0.7548776662466927, 0.5698402909980532)  # steps that fill a square evenly: Roberts 2018, the sequence R2


@dataclass
class FractionalMaxPool(Regularizer):
    """Replaces each max pooling by fractional ones of about `ratio`, to the same size: random regions in training.

    A 2x2 pooling becomes two of ratio 1/sqrt 2, so that layers after it keep their shapes. At test the regions are
    fixed, other ones for each channel as in training. By torch's fractional_max_pool2d. Source: Graham 2014.
    """

    draws_noise: ClassVar[bool] = True

    ratio: OpenFraction = 1 / math.sqrt(2)

    def attach(self, network: nn.Module) -> None:
        found = [
            (parent, name, layer)
            for parent in network.modules()
            for name, layer in parent.named_children()
            if isinstance(layer, nn.MaxPool2d) and np.min(layer.stride) > 1
        ]
        if not found:
            raise UserError(
                "reg.fractional_max_pool: nothing to act on: it needs max pooling; choose model=convnet, say"
            )
        for parent, name, layer in found:
            setattr(parent, name, FractionalPools(layer, self.ratio))


class FractionalPools(nn.Module):
    """Fractional max poolings one after another, from the input's size to the one that `pool` would give."""

    def __init__(self, pool: nn.MaxPool2d, ratio: float) -> None:
        super().__init__()
        self.pool = pool
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.pool(x[:1, :1]).shape[-2:]
        rows, columns = (sizes(now, then, self.ratio) for now, then in zip(x.shape[-2:], target, strict=True))
        for number in range(max(len(rows), len(columns))):
            size = (rows[min(number, len(rows) - 1)], columns[min(number, len(columns) - 1)])
            x = self.shrink(x, size)
        return x

    def shrink(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """One pooling to that size."""
        return fractional_max_pool(x, None if self.training else fixed_samples(x), size)


def fractional_max_pool(x: Tensor, samples: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Images [B, C, H, W] to `size`, by samples [B, C, 2] in [0, 1), or by random ones.

    torch gives no public argument for the samples; where it drops the private one, its operator is called by name.
    """
    try:
        return F.fractional_max_pool2d(x, KERNEL, output_size=size, _random_samples=samples)
    except TypeError:
        if samples is None:
            samples = torch.rand(*x.shape[:2], 2, dtype=x.dtype, device=x.device)
        return torch.ops.aten.fractional_max_pool2d(x, [KERNEL, KERNEL], size, samples)[0]


def fixed_samples(x: Tensor) -> Tensor:
    """What stands at test for the random numbers [B, C, 2] of images [B, C, H, W]: spread evenly over the channels.

    In training each channel has its own regions. If all had the same ones at test, their shifts would add up: networks
    that score 0.95 with random regions score 0.8 so.
    """
    channel = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
    samples_C2 = torch.stack([(0.5 + channel * step) % 1 for step in SPREAD], dim=-1)
    return samples_C2.to(x.dtype).expand(len(x), -1, -1).contiguous()


def sizes(size: int, target: int, ratio: float) -> list[int]:
    """Sizes on the way down from `size` to `target`, each about `ratio` of the one before.

    >>> sizes(32, 16, 0.7071), sizes(8, 4, 0.7071), sizes(2, 1, 0.7071)
    ([23, 16], [6, 4], [1])
    """
    count = max(1, round(math.log(target / size) / math.log(ratio))) if target < size else 1
    steps = [round(size * (target / size) ** (number / count)) for number in range(1, count)]
    # A region of 2 needs at least one pixel more than the outputs.
    below = [step for step in steps if target < step < size]
    return [*below, target]
