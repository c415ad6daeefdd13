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
        self.shares: list[float] = []
        self.share_T = self.rows.matrix.new_empty(0)

    @torch.no_grad()
    def update(self) -> None:
        due = [average.due() for average in self.averages]
        self._follow([share for share, _ in due])
        returns = [returned for _, returned in due]
        if any(returns):
            self._return(returns)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows.keep(rows)
        self.averages = [self.averages[row] for row in rows]

    def _follow(self, shares: list[float]) -> None:
        """Each trial's average takes its share of the trained weights."""
        if shares != self.shares:
            self.shares, self.share_T = shares, self._moved(torch.tensor(shares))
        if any(shares):
            self.rows.matrix.lerp_(self.trained.matrix, self.share_T[:, None])
        for name, average in self.rows.others.items():
            current = self.trained.others[name]
            if not average.is_floating_point():
                average.copy_(current)
            elif any(shares):
                average.lerp_(current, _across(self.share_T.to(average.dtype), average))

    def _return(self, returns: Sequence[bool]) -> None:
        """The trained weights of those trials become the averaged ones."""
        chosen_T = self._moved(torch.tensor(returns))
        trained, rows = self.trained, self.rows
        trained.matrix.copy_(torch.where(chosen_T[:, None], rows.matrix, trained.matrix))
        for name, current in trained.others.items():
            if current.is_floating_point():
                current.copy_(torch.where(_across(chosen_T, current), rows.others[name], current))

    def _moved(self, numbers_T: Tensor) -> Tensor:
        return numbers_T.to(self.rows.matrix.device, non_blocking=True)


def _across(numbers_T: Tensor, stacked: Tensor) -> Tensor:
    """Numbers [T] as [T, 1, ...], to go with [T, ...]."""
    return numbers_T.view(-1, *[1] * (stacked.ndim - 1))
