"""All that a training run is, between two steps: what resumes from it repeats it.

T trials train together (one, unless stacked).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.engine.device import Precision, random_state, restore_random_state

MOST_WAITING = 16  # batches
MOST_SCORES_WAITING = 2**22

Status = Literal["running", "finished", "diverged"]


class Schedule(Protocol):
    """Learning rates, moved on once an update. See `runner.schedule`."""

    used_lrs: list[float]

    def step(self) -> None: ...
    def observe(self, metric: float) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Average(Protocol):
    """Averaged weights, kept beside the trained ones. See `runner.average.weight_average`."""

    network: nn.Module

    def update(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class Trial:
    """How one trial stands."""

    status: Status = "running"
    reason: str = ""
    initial_loss: float | None = None
    best_value: float | None = None
    best_epoch: int | None = None


class Tally:
    """Sums [T] over the training batches of an epoch, kept on the device and read rarely.

    A few batches wait and are added at once: on a small network, two additions a step are a share of it. They are added
    one after another all the same, so that it does not matter when the sums are read.
    """

    def __init__(self, num_trials: int, device: torch.device) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64
        self._loss_sum = torch.zeros(num_trials, dtype=exact, device=device)
        self._num_correct = torch.zeros(num_trials, dtype=torch.int64, device=device)
        self._waiting: list[tuple[Tensor, tuple[Tensor, Tensor], int]] = []
        self._num_waiting = 0  # numbers in the scores that wait
        self.num_images = 0

    def add(self, losses_T: Tensor, answers: tuple[Tensor, Tensor], num_images: int) -> None:
        """Count a batch: its mean losses, and its scores [.., B, K] and labels."""
        self._waiting.append((losses_T, answers, num_images))
        self._num_waiting += answers[0].numel()
        self.num_images += num_images
        if len(self._waiting) == MOST_WAITING or self._num_waiting > MOST_SCORES_WAITING:
            self.settle()

    def settle(self) -> None:
        """Add what waits."""
        if not self._waiting:
            return
        losses, answers, sizes = zip(*self._waiting, strict=True)
        self._forget()
        exact, device = self._loss_sum.dtype, self._loss_sum.device
        weights = torch.tensor(sizes, dtype=exact).to(device, non_blocking=True)
        sums = torch.stack(losses).to(exact) * weights[:, None]
        self._loss_sum.copy_(torch.cat([self._loss_sum[None], sums]).cumsum(0)[-1])
        scores, labels = zip(*answers, strict=True)
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

    def part(self, trial: int) -> Tally:
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


@dataclass
class TrainState:
    """Weights, optimizer, schedule, averages, position and standing of T trials on one device."""

    network: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    precision: Precision
    device: torch.device
    average: Average | None = None
    preprocess: nn.Module | None = None
    trials: list[Trial] = field(default_factory=lambda: [Trial()])
    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the epoch under way
    step: int = 0  # finished updates

    def __post_init__(self) -> None:
        self.tally = Tally(len(self.trials), self.device)

    @property
    def scored_network(self) -> nn.Module:
        """The network whose scores count: the averaged one where an average is kept."""
        return self.average.network if self.average else self.network

    @property
    def present(self) -> list[int]:
        """The trials that the step updates."""
        return [0]

    def of(self, trial: int) -> TrainState:
        """The state of one trial, as it would be alone."""
        return self

    def drop_ended(self) -> None:
        """Leave trials that have ended out of the steps to come."""

    @property
    def active(self) -> bool:
        """Whether any trial still trains."""
        return any(trial.status == "running" for trial in self.trials)

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "preprocess": self.preprocess.state_dict() if self.preprocess else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "trials": [asdict(trial) for trial in self.trials],
            "tally": self.tally.state_dict(),
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step},
            "random": random_state(self.device),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.preprocess:
            self.preprocess.load_state_dict(state["preprocess"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if state["scaler"]:
            self.precision.scaler.load_state_dict(state["scaler"])
        self.trials = [Trial(**trial) for trial in state["trials"]]
        self.tally.load_state_dict(state["tally"])
        self.epoch, self.batch, self.step = (state["position"][key] for key in ("epoch", "batch", "step"))
        restore_random_state(state["random"], self.device)
