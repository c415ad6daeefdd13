"""Averages of weights over the run."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from runner.quantity import Fraction


class EMA:
    """Polyak average: `x_test = decay*x_test + (1-decay)*x` after every update; validation and test use x_test.

    Starts at the initial weights. Batch-norm statistics are averaged alike; counters are copied. torch's AveragedModel
    is the same average, but asks the device a question at every update.
    """

    def __init__(self, network: nn.Module, decay: Fraction = 0.995) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._average = _floats(self.network)
        self._current = _floats(network)
        self._counters = list(zip(_counters(self.network), _counters(network), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self._average, self._current, 1 - self.decay)
        for average, current in self._counters:
            average.copy_(current)

    def state_dict(self) -> dict[str, Any]:
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state)


def _floats(network: nn.Module) -> list[Tensor]:
    """Parameters and floating buffers, saved or not: those that a forward pass reads."""
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]


def _counters(network: nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if not buffer.is_floating_point()]
