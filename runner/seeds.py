"""Random streams derived from one seed: every draw is keyed by its purpose, so it can be repeated from anywhere."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, purpose: str, *keys: int) -> int:
    """A 63-bit seed for one purpose and place, say `derive(7, "order", epoch)`: independent of all others."""
    words = [seed % 2**64, zlib.crc32(purpose.encode()), *keys]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, purpose: str, *keys: int) -> torch.Generator:
    """A CPU generator for one purpose and place. Draws are made on the CPU so that every device sees the same ones."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, *keys))
