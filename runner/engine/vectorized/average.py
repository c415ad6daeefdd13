"""The averages of T trials."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from runner.average import EMA, Lookahead
from runner.engine.vectorized.parameters import StackedParameters
from runner.errors import CannotVectorize


class VectorizedAverage:
    """The averages of T trials, each with its own numbers."""

    def __init__(self, averages: Sequence[Any], trained: StackedParameters) -> None:
        kind = type(averages[0])
        if kind not in (EMA, Lookahead) or any(type(average) is not kind for average in averages):
            raise CannotVectorize(f"average: {kind.__name__} cannot be vectorized")
        self.averages = list(averages)
        self.trained = trained
        self.rows = StackedParameters([average.network for average in averages], trained.order)
        self.shares: tuple[float, ...] = ()
        self.share_T = self.rows.matrix.new_empty(0)

    @torch.no_grad()
    def update(self) -> None:
        shares, returns = zip(*(average.due() for average in self.averages), strict=True)
        trained, rows, device = self.trained, self.rows, self.rows.matrix.device
        if shares != self.shares:
            self.shares, self.share_T = shares, torch.tensor(shares).to(device, non_blocking=True)
        pairs = [(rows.matrix, trained.matrix), *((rows.others[name], trained.others[name]) for name in rows.others)]
        floats = [(average, current) for average, current in pairs if average.is_floating_point()]
        if any(shares):
            for average, current in floats:
                average.lerp_(current, _across(self.share_T.to(average.dtype), average))
        for average, current in pairs:
            if not average.is_floating_point():
                average.copy_(current)
        if any(returns):  # the trained weights of those trials become the averaged ones
            chosen_T = torch.tensor(returns).to(device, non_blocking=True)
            for average, current in floats:
                current.copy_(torch.where(_across(chosen_T, current), average, current))

    def before_scoring(self, batches: Any) -> None:
        """Nothing: averages whose statistics must be recomputed are not vectorized."""

    def keep(self, rows: Sequence[int]) -> None:
        self.rows.keep(rows)
        self.averages = [self.averages[row] for row in rows]


def _across(numbers_T: Tensor, stacked: Tensor) -> Tensor:
    """Numbers [T] as [T, 1, ...], to go with [T, ...]."""
    return numbers_T.view(-1, *[1] * (stacked.ndim - 1))
