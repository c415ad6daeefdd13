"""Noise inside a stacked network: dropout and its kin, drawn for each trial from its own key.

torch's generators draw for all trials at once, so what a trial gets would depend on how many there are and on its place
among them. Here a draw is a pure function of the trial's key, the number of the draw and the element, so it maps over
trials, compiles, and needs no state: a trial sees the same noise alone as in any stack. T trials.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from runner.engine.vectorized.layers import FoldedPool
from runner.reg.noise import InputDropout, WeightDropout
from runner.reg.pooling import FractionalPools

Unit = Literal["element", "channel", "image", "batch"]

# Words of 32 bits are kept in 64, so that no product overflows: what overflow gives is the device's choice.
WORD = 2**32 - 1
FIRST, SECOND, STRIDE = 0x21F0AAAD, 0x735A2D97, 0x1E3779B9


def scrambled(x: Tensor) -> Tensor:
    """Words whose bits are well mixed: a xor-shift-multiply hash of low bias. Source: Wellons 2018, hash-prospector."""
    x = ((x ^ (x >> 16)) * FIRST) & WORD
    x = ((x ^ (x >> 15)) * SECOND) & WORD
    return x ^ (x >> 15)


def uniform(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Numbers from 0 to 1 of that shape, by the key: a word."""
    places = torch.arange(math.prod(shape), device=key.device) * STRIDE
    return (scrambled((places + key) & WORD).float() * 2**-32).view(*shape)


class Noise(nn.Module):
    """A layer that draws. Its key and its rate are buffers, which a stack gives for each trial."""

    key: Tensor
    rate: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rate", torch.zeros(()))
        self.number = 0  # of the layer in its network
        self.num_draws = 0  # since the key was set

    def draw(self, shape: Sequence[int]) -> Tensor:
        self.num_draws += 1
        return uniform(scrambled((self.key + self.number + 4096 * self.num_draws) & WORD), shape)


class StatelessDropout(Noise):
    """Zeroes elements of [B, ...], channels, images or the whole batch at `rate`.

    `inverted` divides the others by 1-rate; else they are multiplied by it at test.
    """

    def __init__(self, unit: Unit, inverted: bool = True) -> None:
        super().__init__()
        self.unit = unit
        self.inverted = inverted

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x if self.inverted else x * (1 - self.rate).to(x.dtype)
        num_dims = {"element": x.ndim, "channel": 2, "image": 1, "batch": 0}[self.unit]
        shape = (*x.shape[:num_dims], *[1] * (x.ndim - num_dims))
        kept = (self.draw(shape) >= self.rate).to(x.dtype)
        return x * (kept / (1 - self.rate).to(x.dtype) if self.inverted else kept)


class DrawnPools(FractionalPools, Noise):
    """Fractional max poolings whose random regions are drawn here."""

    def shrink(self, x: Tensor, size: tuple[int, int], number: int) -> Tensor:
        samples = self.draw((len(x), 1, 2)).to(x.dtype) if self.training else self.at_test(x, number)
        return FoldedPool.apply(x, samples.expand(*x.shape[:2], 2).contiguous(), size)


def drawn(layer: nn.Module) -> Noise | None:
    """The form of that layer that draws here; None where it does not draw."""
    makers: dict[type[nn.Module], Callable[[Any], Noise]] = {
        nn.Dropout: lambda layer: StatelessDropout("element"),
        nn.Dropout2d: lambda layer: StatelessDropout("channel"),
        InputDropout: lambda layer: StatelessDropout("channel" if layer.whole_channels else "element", layer.inverted),
        WeightDropout: lambda layer: StatelessDropout("element"),
        FractionalPools: lambda layer: DrawnPools(layer.pool, layer.ratio, layer.place, layer.num_test_passes),
    }
    if torchvision := sys.modules.get("torchvision"):  # only then can a layer be one of its classes
        makers[torchvision.ops.StochasticDepth] = lambda layer: StatelessDropout(
            "image" if layer.mode == "row" else "batch"
        )
    make = makers.get(type(layer))
    return make(layer).train(layer.training) if make else None
