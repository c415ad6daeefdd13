"""Objects of T trials that differ in numbers, as one."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from runner.engine.step import Step
from runner.engine.vectorized.layers import vmap_layer
from runner.engine.vectorized.template import same
from runner.errors import CannotVectorize

Numbers = dict[str, Tensor]  # each [T], or that of one trial


class BatchedObject:
    """Objects of T trials, of one class, that differ in numbers: one of them stands for all, given its numbers.

    Raises:
        CannotVectorize: they differ in something else.
    """

    def __init__(self, key: str, members: Sequence[Any], device: torch.device) -> None:
        self.first = members[0]
        self.numbers: Numbers = {}
        if any(type(member) is not type(self.first) for member in members):
            raise CannotVectorize(f"{key}: {type(self.first).__name__} in one trial is another class in the next")
        for name, value in vars(self.first).items():
            values = [vars(member)[name] for member in members]
            if all(same(value, other) for other in values):
                continue
            if not all(type(other) in (int, float) for other in values):
                raise CannotVectorize(f"{key}: {name} of {type(self.first).__name__} differs and is no plain number")
            self.numbers[name] = torch.tensor(values, dtype=torch.float32, device=device)

    def with_numbers(self, numbers: Numbers) -> Any:
        if not numbers:
            return self.first
        made = copy.copy(self.first)
        vars(made).update(numbers)
        return made


def batched_criteria(steps: Sequence[Step], device: torch.device) -> BatchedObject:
    """The losses of the steps as one, in the form that maps over trials best."""
    return BatchedObject("loss", [vmap_layer(step.criterion) or step.criterion for step in steps], device)
