"""Whether the trials of a job train together: timed once a sweep for each signature, and written down, so that a sweep
that goes on decides as it did before."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import torch
from omegaconf import DictConfig

from runner import build, files
from runner.build import Timing
from runner.data import Data
from runner.errors import CannotVectorize
from runner.store import SweepFolder
from runner.store.config_file import FORMAT
from runner.vectorizable import reason_against, signature

DECISIONS, LOCK = "vectorize.json", ".vectorize.lock"
MIN_SPEEDUP = 1.15  # below it, one by one is as good and simpler
FIRST_TIMING = 4  # trials that are timed first, since all of them may take long
MORE_TRIALS = 16  # that are timed next
SHARE = 0.05  # of the time that all trials are expected to take, which their timing may cost
SHORT = 2.0  # seconds that the second timing may take where few trials gain nothing


@dataclass(frozen=True)
class Decision:
    """How trials of one signature train.

    Args:
        together: how many at a time; 0 for one by one.
        num_threads: of the CPU, for them; 0 for as many as the network's size asks for.
    """

    together: int
    reason: str
    num_threads: int = 0


def decide(
    cfgs: Sequence[DictConfig],
    vectorize: int | Literal["auto", "off"],
    num_alike: int,
    dataset: Data,
    folder: SweepFolder,
) -> Decision:
    """How many of these trials of one signature train together at a time, and why, where `vectorize` is not off.

    `num_alike`: the trials of this signature in the whole round. What depends on it is the same after a crash.
    """
    if reason := reason_against(cfgs[0]):
        return Decision(0, reason)
    name = _name(cfgs[0])
    with files.make_lock(folder.path / LOCK):  # other jobs of the sweep wait for the answer
        known = _read(folder)
        epochs = num_alike * cfgs[0].engine.epochs
        if name not in known or epochs > known[name].get("max_epochs", epochs):
            known[name] = _time(cfgs, vectorize, num_alike, dataset)
            folder.replace(DECISIONS, json.dumps({"format": FORMAT, "decisions": known}, indent=1) + "\n")
    decision = known[name]
    if decision["together"] and num_alike < decision.get("min_trials", 1):
        reason = f"{num_alike} trials are faster one by one; vectorizing pays from {decision['min_trials']} on"
        return Decision(0, reason)
    return Decision(decision["together"], decision["reason"], decision.get("num_threads", 0))


def most_together(cfg: DictConfig, folder: SweepFolder) -> int:
    """How many trials of this config's signature the sweep lets train together by now."""
    return int(_read(folder).get(_name(cfg), {}).get("together", 0))


def allow_fewer(cfg: DictConfig, together: int, folder: SweepFolder) -> None:
    """Write down that more trials than this do not fit into the device's memory."""
    with files.make_lock(folder.path / LOCK):
        known = _read(folder)
        decision = known.get(_name(cfg)) or _decision(0, "")
        if together < decision["together"]:
            decision["together"] = together if together > 1 else 0
            decision["reason"] += f"; more than {together} ran out of memory"
            folder.replace(DECISIONS, json.dumps({"format": FORMAT, "decisions": known}, indent=1) + "\n")


def _name(cfg: DictConfig) -> str:
    network = cfg.copy()
    network.engine.epochs = 1  # rounds differ in their length, not in their speed
    return str(signature(network))


def _read(folder: SweepFolder) -> dict[str, Any]:
    """The decisions so far; none where they cannot be read, for they can be made again."""
    known = folder.read_json(DECISIONS).get("decisions", {})
    try:
        return {name: one for name, one in known.items() if isinstance(one["together"], int) and one["reason"]}
    except (TypeError, KeyError, AttributeError):
        return {}


def _time(cfgs: Sequence[DictConfig], vectorize: Any, num_alike: int, dataset: Data) -> dict[str, Any]:
    """By a few updates of both ways on this machine, unless a number was asked for."""
    try:
        if isinstance(vectorize, int):
            build.vectorize(cfgs[:2], dataset)
            return _decision(vectorize, f"sweep.vectorize is {vectorize}")
        if len(cfgs) < 2:
            return _decision(0, "a single trial of its kind")
        timer = build.VectorizedTimer(cfgs[0], dataset)
        room = timer.most_together
        few, more = (min(number, room, len(cfgs)) for number in (FIRST_TIMING, MORE_TRIALS))
        allowed = SHARE * num_alike * timer.trial_seconds
        if timer.spent + timer.cost(few) > allowed:
            reason = "the trials take too little time for finding out whether vectorizing pays"
            return _decision(0, reason) | {"max_epochs": num_alike * cfgs[0].engine.epochs}
        first = timing = timer.time(cfgs[:few], allowed)
        allowed /= max(1, first.speedup)
        gains_or_short = first.speedup >= 1 or timer.cost(more) < SHORT
        if more > few and gains_or_short and timer.spent + timer.cost(more) <= allowed:
            try:
                timing = timer.time(cfgs[:more], allowed)
            except torch.OutOfMemoryError:
                room = few
        if timing.speedup < MIN_SPEEDUP:
            return _decision(0, f"vectorized trials train only {timing.speedup:.2f} times as fast as one by one")
        reason = f"vectorized trials train {timing.speedup:.1f} times as fast as one by one"
        reason += ", with one thread" * (timing.num_threads == 1)
        return _decision(min(room, 10**6), reason, _min_trials(first, timing)) | {"num_threads": timing.num_threads}
    except CannotVectorize as error:
        return _decision(0, str(error))
    except torch.OutOfMemoryError:
        return _decision(0, "the device has too little memory for several trials")


def _decision(together: int, reason: str, min_trials: int = 1) -> dict[str, Any]:
    return {"together": together, "min_trials": min_trials, "reason": reason}


def _min_trials(few: Timing, many: Timing) -> int:
    """From how many trials on vectorizing pays, were the seconds of its step a line through those measured."""
    if few.speedup >= MIN_SPEEDUP or few.num_trials == many.num_trials:
        return 1
    slope = (many.together - few.together) / (many.num_trials - few.num_trials)
    start = few.together - slope * few.num_trials
    saved = many.alone / MIN_SPEEDUP - slope  # by each trial
    return min(many.num_trials, max(few.num_trials + 1, ceil(start / saved))) if saved > 0 else many.num_trials
