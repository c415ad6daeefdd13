"""Whether the trials of a job train together: asked once a sweep for each shape of network, and written down, so that a
sweep that goes on decides as it did before."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from math import ceil
from typing import Any, Literal

from omegaconf import DictConfig

from runner import build
from runner.build import Pace
from runner.data import Data
from runner.errors import CannotStack
from runner.store import SweepFolder
from runner.vectorizable import cannot_stack, digest

DECISIONS = "stacks.json"
LEAST_GAIN = 1.15  # below it, one by one is as good and simpler
FIRST_LOOK = 4  # trials of the probe that comes first, since that of all of them may take long
NUM_STEPS = 10  # of the second
SHORT = 2.0  # seconds that the second may take whatever the first has found


def decide(
    cfgs: Sequence[DictConfig], stack: int | Literal["auto", "off"], num_alike: int, dataset: Data, folder: SweepFolder
) -> tuple[int, str]:
    """How many of these trials of one shape train together at a time, and why; 0 for one by one.

    `num_alike`: the trials of this shape in the whole round. What depends on it is the same after a crash.
    """
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
            known[name] = _probe(cfgs, stack, dataset)
            file.seek(0)
            file.truncate()
            file.write(json.dumps(known, indent=1) + "\n")
    decision = known[name]
    if decision["together"] and num_alike < decision.get("least", 1):
        return 0, f"{num_alike} trials of a shape are faster one by one, a stack pays from {decision['least']} on"
    return decision["together"], decision["reason"]


def _probe(cfgs: Sequence[DictConfig], stack: Any, dataset: Data) -> dict[str, Any]:
    """By a few steps of both ways on this machine, unless a number was asked for."""
    try:
        if isinstance(stack, int):
            build.stack(cfgs[:2], dataset)
            return _decision(stack, f"sweep.stack is {stack}")
        if len(cfgs) < 2:
            return _decision(0, "a single trial of its shape")
        room = build.most_together(cfgs[0], dataset)
        first = pace = build.pace_of_stack(cfgs[: min(FIRST_LOOK, room)], dataset, num_steps=4)
        most = min(room, len(cfgs))
        if most > FIRST_LOOK and (first.gain >= 1 or 2 * most * first.alone * NUM_STEPS < SHORT):
            pace = build.pace_of_stack(cfgs[:most], dataset, NUM_STEPS)
        if pace.gain < LEAST_GAIN:
            return _decision(0, f"a stack trains only {pace.gain:.2f} times as fast as one by one")
        reason = f"a stack trains {pace.gain:.1f} times as fast as one by one"
        return _decision(min(room, 10**6), reason, _least(first, pace))
    except CannotStack as error:
        return _decision(0, str(error))


def _decision(together: int, reason: str, least: int = 1) -> dict[str, Any]:
    return {"together": together, "least": least, "reason": reason}


def _least(few: Pace, many: Pace) -> int:
    """From how many trials on a stack pays, were the seconds of its step a line through those measured."""
    if few.gain >= LEAST_GAIN or few.num_trials == many.num_trials:
        return 1
    slope = (many.together - few.together) / (many.num_trials - few.num_trials)
    start = few.together - slope * few.num_trials
    saved = many.alone / LEAST_GAIN - slope  # by each trial
    return min(many.num_trials, max(few.num_trials + 1, ceil(start / saved))) if saved > 0 else many.num_trials
