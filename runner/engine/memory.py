"""How much memory a trial takes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from runner.engine.state import TrainState
from runner.engine.step import StepResult


def of_trial(state: TrainState, step: Callable[[TrainState, Any], StepResult], batch: Any) -> int:
    """Bytes of a trial's weights, gradients, optimizer state and average, and of what it keeps for a backward pass.

    The state is trained by one update.
    """
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step(state, batch)
    parameters = list(state.network.parameters())
    moments = [
        value for entry in state.optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)
    ]
    averages = list(state.average.network.parameters()) if state.average else []
    tensors = [*parameters, *parameters, *moments, *averages]
    return sum(kept.values()) + sum(tensor.nbytes for tensor in tensors)
