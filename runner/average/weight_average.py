"""A second set of weights beside the trained ones."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from runner.optimizer.torch_kernels import foreach


class WeightAverage:
    """A second set of weights that follows the trained ones; validation and test use it.

    Starts at the initial weights. Batch-norm statistics follow alike; counters are copied.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._averaged = _floats(self.network)
        self._current = _floats(network)
        self._counters = list(zip(_counters(self.network), _counters(network), strict=True))

    def due(self) -> tuple[float, bool]:
        """After an update: the share that the average takes of the trained weights; whether they are then set to it."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self) -> None:
        share, returns = self.due()
        if share:
            foreach("lerp_", self._averaged, self._current, share)
        for averaged, current in self._counters:
            averaged.copy_(current)
        if returns:
            foreach("copy_", self._current, self._averaged)

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
