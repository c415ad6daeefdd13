"""Training metrics, summed on the device and read rarely."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MAX_WAITING = 16  # batches
MAX_SCORES_WAITING = 2**22


def exact(device: torch.device) -> torch.dtype:
    """The type of sums on that device: double precision, where it has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def count_confusions(predicted_N: Tensor, labels_N: Tensor, K: int) -> Tensor:
    """How many images of each class (row) were taken for each class (column): [K, K]."""
    return torch.bincount(labels_N * K + predicted_N, minlength=K * K).reshape(K, K)


def surest_mistakes(probabilities_NK: Tensor, labels_N: Tensor, number: int) -> Tensor:
    """Indices [n] of the images whose wrong class is the most probable, the surest first."""
    sureness_N, predicted_N = probabilities_NK.max(1)
    mistaken = (predicted_N != labels_N).nonzero().flatten()
    return mistaken[sureness_N[mistaken].argsort(descending=True, stable=True)][:number]


class MetricSums:
    """Sums [T] over the training batches of an epoch, kept on the device and read rarely.

    A few batches wait and are added at once: on a small network, two additions a step are a share of it. They are added
    one after another all the same, so that it does not matter when the sums are read.
    """

    def __init__(self, num_trials: int, device: torch.device) -> None:
        self._loss_sum = torch.zeros(num_trials, dtype=exact(device), device=device)
        self._num_correct = torch.zeros(num_trials, dtype=torch.int64, device=device)
        self._waiting: list[tuple[Tensor, tuple[Tensor, Tensor], int]] = []
        self._num_waiting = 0  # numbers in the scores that wait
        self.num_images = 0

    def add(self, losses_T: Tensor, predictions: tuple[Tensor, Tensor], num_images: int) -> None:
        """Count a batch: its mean losses, and its scores [.., B, K] and labels."""
        self._waiting.append((losses_T, predictions, num_images))
        self._num_waiting += predictions[0].numel()
        self.num_images += num_images
        if len(self._waiting) == MAX_WAITING or self._num_waiting > MAX_SCORES_WAITING:
            self.settle()

    def settle(self) -> None:
        """Add what waits."""
        if not self._waiting:
            return
        losses, predictions, sizes = zip(*self._waiting, strict=True)
        self._forget()
        dtype, device = self._loss_sum.dtype, self._loss_sum.device
        weights = torch.tensor(sizes, dtype=dtype).to(device, non_blocking=True)
        sums = torch.stack(losses).to(dtype) * weights[:, None]
        if device.type == "cuda":  # whose cumulative sum raises in deterministic mode, up to torch 2.11
            for one in sums.unbind():
                self._loss_sum += one
        else:
            self._loss_sum.copy_(torch.cat([self._loss_sum[None], sums]).cumsum(0)[-1])
        scores, labels = zip(*predictions, strict=True)
        self._num_correct += (torch.cat(scores, -2).argmax(-1) == torch.cat(labels, -1)).sum(-1)

    def _forget(self) -> None:
        self._waiting.clear()
        self._num_waiting = 0

    @property
    def loss_sum(self) -> Tensor:
        self.settle()
        return self._loss_sum

    @property
    def num_correct(self) -> Tensor:
        self.settle()
        return self._num_correct

    def part(self, trial: int) -> MetricSums:
        """That of one trial of several, up to date whenever this one is settled."""
        part = copy.copy(self)
        part._waiting = []
        part._loss_sum = self._loss_sum[trial : trial + 1]
        part._num_correct = self._num_correct[trial : trial + 1]
        return part

    def state_dict(self) -> dict[str, Any]:
        return {"loss_sum": self.loss_sum, "num_correct": self.num_correct, "num_images": self.num_images}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.loss_sum.copy_(state["loss_sum"])
        self.num_correct.copy_(state["num_correct"])
        self.num_images = state["num_images"]

    def clear(self) -> None:
        self._forget()
        self._loss_sum.zero_()
        self._num_correct.zero_()
        self.num_images = 0
