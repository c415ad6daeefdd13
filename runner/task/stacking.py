"""Whether the trials of a job train together: asked once a sweep for each shape of network, and written down, so that a
sweep that goes on decides as it did before."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from typing import Any, Literal

from omegaconf import DictConfig

from runner import build
from runner.data import Data
from runner.errors import CannotStack
from runner.stacks import cannot_stack, digest
from runner.store import SweepFolder

DECISIONS = "stacks.json"
LEAST_GAIN = 1.15  # below it, one by one is as good and simpler
FIRST_LOOK = 4  # trials of the probe that comes first, since that of all of them may take long


def decide(
    cfgs: Sequence[DictConfig], stack: int | Literal["auto", "off"], dataset: Data, folder: SweepFolder
) -> tuple[int, str]:
    """How many of these trials of one shape train together at a time, and why; 0 for one by one."""
    if stack in ("off", 1):
        return 0, "sweep.stack is off"
    if reason := cannot_stack(cfgs[0]):
        return 0, reason
    network = cfgs[0].copy()
    network.engine.epochs, network.engine.pause_epoch = 1, None  # rounds differ in their length, not in their speed
    name = str(digest(network))
    path = folder.path / DECISIONS
    with path.open("a+") as file:  # other jobs of the sweep wait for the answer
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.seek(0)
        known: dict[str, Any] = json.loads(file.read() or "{}")
        if name not in known:
            together, reason = _probe(cfgs, stack, dataset)
            known[name] = {"together": together, "reason": reason}
            file.seek(0)
            file.truncate()
            file.write(json.dumps(known, indent=1) + "\n")
    return known[name]["together"], known[name]["reason"]


def _probe(cfgs: Sequence[DictConfig], stack: Any, dataset: Data) -> tuple[int, str]:
    """By a few steps of both ways on this machine, unless a number was asked for."""
    try:
        if isinstance(stack, int):
            build.stack(cfgs[:2], dataset)
            return stack, f"sweep.stack is {stack}"
        if len(cfgs) < 2:
            return 0, "a single trial of its shape"
        room = build.most_together(cfgs[0], dataset)
        gain = build.gain_of_stack(cfgs[: min(FIRST_LOOK, room)], dataset, num_steps=4)
        if gain >= 1 and len(cfgs) > FIRST_LOOK:
            gain = build.gain_of_stack(cfgs[:room], dataset)
        if gain < LEAST_GAIN:
            return 0, f"a stack trains only {gain:.2f} times as fast as one by one"
        return min(room, 10**6), f"a stack trains {gain:.1f} times as fast as one by one"
    except CannotStack as error:
        return 0, str(error)
