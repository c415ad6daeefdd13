"""Fractional max pooling in the place of max pooling.

B images, C channels, H by W pixels, K classes.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import NonNegativeInt, OpenFraction
from runner.errors import UserError
from runner.reg.regularizer import Regularizer
from runner.seeds import derive

KERNEL = 2
MIDDLE = (0.5, 0.5)  # the numbers from 0 to 1 that set the rows and the columns of the fixed regions


@dataclass
class FractionalMaxPool(Regularizer):
    """Replaces each max pooling by fractional ones of about `ratio`, to the same size: random regions in training.

    A 2x2 pooling becomes two of ratio 1/sqrt 2, so that layers after it keep their shapes. The regions of a pooling are
    drawn once an image, for all its channels: torch's own draws, other ones for each channel, shift the channels
    against each other. At test the scores are the log of the mean class probability over `num_test_passes` passes, each
    with random regions of a fixed seed, the same for all images; with 0 passes they are those of one pass with fixed
    regions, which score lower. By torch's fractional_max_pool2d. Source: Graham 2014, whose figures are of 1, 12 and
    100 passes.
    """

    draws_noise: ClassVar[bool] = True

    ratio: OpenFraction = 1 / math.sqrt(2)
    num_test_passes: NonNegativeInt = 12

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
        for number, (parent, name, layer) in enumerate(found):
            setattr(parent, name, FractionalPools(layer, self.ratio, number, self.num_test_passes))
        if self.num_test_passes > 1:
            network.register_forward_hook(_average_passes)


class FractionalPools(nn.Module):
    """Fractional max poolings one after another, from the input's size to the one that `pool` would give.

    Args:
        place: of this layer among those of the network; at test each has regions of its own.
        num_test_passes: how many passes the network's scores at test are the mean of; 0 for fixed regions.
    """

    def __init__(self, pool: nn.MaxPool2d, ratio: float, place: int = 0, num_test_passes: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.ratio = ratio
        self.place = place
        self.num_test_passes = num_test_passes
        self.test_pass = 0  # the one that the network is in

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.pool(x[:1, :1]).shape[-2:]
        rows, columns = (sizes(now, then, self.ratio) for now, then in zip(x.shape[-2:], target, strict=True))
        for number in range(max(len(rows), len(columns))):
            size = (rows[min(number, len(rows) - 1)], columns[min(number, len(columns) - 1)])
            x = self.shrink(x, size, number)
        return x

    def shrink(self, x: Tensor, size: tuple[int, int], number: int) -> Tensor:
        """The pooling of that number among this layer's, to that size."""
        drawn = torch.rand(len(x), 1, 2, dtype=x.dtype, device=x.device) if self.training else self.at_test(x, number)
        return fractional_max_pool(x, drawn.expand(*x.shape[:2], 2).contiguous(), size)

    def at_test(self, x: Tensor, number: int) -> Tensor:
        """What stands at test for a pooling's random numbers: [2], of the input's kind."""
        samples = MIDDLE
        if self.num_test_passes:
            numbers = np.random.default_rng(derive(self.test_pass, "fractional pooling", self.place, number))
            samples = tuple(numbers.random(2))
        return torch.cat([x.new_full((1,), sample) for sample in samples])  # without a copy that waits for the device


def _average_passes(network: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
    """In test mode: the log of the mean class probability [B, K] over the passes, of which `output` is the first."""
    if network.training:
        return None
    pools = [layer for layer in network.modules() if isinstance(layer, FractionalPools)]
    scores = [F.log_softmax(output, dim=-1)]
    for test_pass in range(1, pools[0].num_test_passes):
        for pool in pools:
            pool.test_pass = test_pass
        try:
            scores.append(F.log_softmax(network.forward(*args), dim=-1))
        finally:
            for pool in pools:
                pool.test_pass = 0
    return torch.stack(scores).logsumexp(0) - math.log(len(scores))


def fractional_max_pool(x: Tensor, samples: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [B, C, H, W] to `size`, by samples [B, C, 2] in [0, 1).

    torch gives no public argument for the samples; where it drops the private one, its operator is called by name.
    """
    try:
        return F.fractional_max_pool2d(x, KERNEL, output_size=size, _random_samples=samples)
    except TypeError:
        return torch.ops.aten.fractional_max_pool2d(x, [KERNEL, KERNEL], size, samples)[0]


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
