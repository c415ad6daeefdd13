"""All that a training run is, between two steps: what resumes from it repeats it.

T trials train together (one, unless vectorized).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.engine.metrics import MetricSums
from runner.engine.precision import Precision
from runner.engine.rng import random_state, restore_random_state

Status = Literal["running", "finished", "diverged"]


class Schedule(Protocol):
    """Learning rates, moved on once an update. See `runner.schedule`."""

    used_lrs: list[float]

    def step(self) -> None: ...
    def observe(self, metric: float, epoch: int) -> None: ...
    def redraw(self, total_steps: int) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Average(Protocol):
    """Averaged weights, kept beside the trained ones. See `runner.average`."""

    network: nn.Module

    def update(self) -> None: ...
    def before_scoring(self, batches: Any) -> None: ...
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
    best_loss: float | None = None  # of that epoch, which tells it from others of equal accuracy


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
    part_size: int | None = None  # images that fit into the device's memory at once, as it turned out: `engine.on_oom`
    planned_steps: int | None = None  # where the time is limited: all updates that fit into it
    seconds: float = 0.0  # where the time is limited: that have been used

    def __post_init__(self) -> None:
        self.sums = MetricSums(len(self.trials), self.device)

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
            "sums": self.sums.state_dict(),
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step},
            "part_size": self.part_size,
            "time": {"planned_steps": self.planned_steps, "seconds": self.seconds},
            "random": random_state(self.device),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.preprocess:
            self.preprocess.load_state_dict(state["preprocess"])
        self.optimizer.load_state_dict(state["optimizer"])
        match_layouts(self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        if state["scaler"]:
            self.precision.scaler.load_state_dict(state["scaler"])
        self.trials = [Trial(**trial) for trial in state["trials"]]
        self.sums.load_state_dict(state["sums"])
        self.epoch, self.batch, self.step = (state["position"][key] for key in ("epoch", "batch", "step"))
        self.part_size = state.get("part_size")  # checkpoints of before have none
        limited = state.get("time") or {}  # likewise
        self.planned_steps, self.seconds = limited.get("planned_steps"), limited.get("seconds", 0.0)
        restore_random_state(state["random"], self.device)


@torch.no_grad()
def match_layouts(optimizer: Optimizer) -> None:
    """Lay each tensor of an optimizer's state out in memory as its parameter is; its values stay.

    A fused kernel walks through weights and state by their places in memory. A loaded state comes in the layout that it
    was saved in: that of a trial among vectorized ones, say, which is contiguous, where weights are channels_last.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                laid_out = torch.empty_like(parameter, dtype=value.dtype, device=value.device)
                state[name] = laid_out.copy_(value)
