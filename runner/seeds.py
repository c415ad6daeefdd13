"""Random streams derived from one seed: every draw is keyed by its purpose, so it can be repeated from anywhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SOBOL_CHUNK = 64  # points drawn at a time


def derive(seed: int, purpose: str, *keys: int) -> int:
    """A 63-bit seed for one purpose and place, say `derive(7, "order", epoch)`: independent of all others."""
    words = [seed % 2**64, zlib.crc32(purpose.encode()), *keys]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1


def generator(seed: int, purpose: str, *keys: int) -> torch.Generator:
    """A CPU generator for one purpose and place. Draws are made on the CPU so that every device sees the same ones."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, *keys))


def uniform_points(num_dimensions: int, seed: int) -> Iterator[list[float]]:
    """Points uniform in the unit cube, without end."""
    import torch

    numbers = torch.Generator().manual_seed(seed)
    while True:
        yield torch.rand(num_dimensions, generator=numbers, dtype=torch.float64).tolist()


def sobol_points(num_dimensions: int, seed: int) -> Iterator[list[float]]:
    """A scrambled Sobol sequence in the unit cube, without end; it covers the cube more evenly than chance.

    Source: Owen 1998, Scrambling Sobol' and Niederreiter-Xing points.
    """
    import torch

    engine = torch.quasirandom.SobolEngine(num_dimensions, scramble=True, seed=seed)
    while True:
        yield from engine.draw(SOBOL_CHUNK, dtype=torch.float64).tolist()
