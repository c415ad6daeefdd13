"""One job of a sweep: the trials it was given, run from their frozen configs, each noted in the journal."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner import build, store
from runner.data import Data
from runner.engine import device
from runner.engine.checkpoint import position
from runner.errors import UserError
from runner.store import RunFolder, SweepFolder
from runner.sweep.execution.search import event, why_give_up
from runner.sweep.execution.timing import decide
from runner.sweep.plugin.sweeper import settings_of
from runner.sweep.record.journal import Journal, Standing
from runner.training.run import Run
from runner.training.train import Member, train, train_stack

LOCK_SECONDS = 10.0  # of waiting for a process that is about to end


def run_trials(cfg: DictConfig) -> float | None:
    """What Hydra calls with each job: run its trials; gives the score of the last.

    A trial that fails is a status in the journal, not an error of the job.
    """
    folder = SweepFolder.open(Path(cfg.job.folder))
    settings = settings_of(folder.config.sweep)
    journal = Journal(folder.journal)
    standings = journal.standings()
    trials = [_Trial(folder, standings[number], cfg.job.until_epoch) for number in cfg.job.trials]
    score = None
    num_alike = sum(_kind(trial) == _kind(trials[0].standing) for trial in standings.values())
    for group in _groups(trials, settings.stack, num_alike, folder):
        if why_give_up(list(journal.standings().values()), settings):
            break
        journal.append(event("started", trial.standing, note=group.reason) for trial in group.trials)
        began = time.perf_counter()
        for trial, outcome in group.run():
            ended = _end(trial, outcome)
            score = ended["score"]
            seconds = (time.perf_counter() - began) / len(group.trials)
            journal.append([ended | {"seconds": round(seconds, 3)}])
    return score


def _end(trial: _Trial, outcome: Run | Exception) -> dict[str, Any]:
    """The event of a trial's end, or of its pause."""
    if isinstance(outcome, UserError):
        return event("failed", trial.standing, error=str(outcome))
    if isinstance(outcome, Exception):
        return event("failed", trial.standing, error="".join(traceback.format_exception(outcome)))
    status = "paused" if outcome.status == "interrupted" else outcome.status
    return event(status, trial.standing, error=outcome.record["error"]) | {"score": outcome.objective}


@dataclass
class _Trial:
    """A queued trial, with the config that was frozen for it."""

    folder: SweepFolder
    standing: Standing
    until_epoch: int | None

    def __post_init__(self) -> None:
        self.path = self.folder.trial(self.standing.trial)
        self.cfg = store.read_config(self.path)
        self.cfg.engine.pause_epoch = self.until_epoch
        if self.cfg.engine.device == "auto":
            self.cfg.engine.device = device.share(self.standing.trial)

    def open(self) -> Member:
        """Its folder as a run, locked."""
        overrides = store.read_overrides(self.path)
        if (self.path / store.RUN).exists():
            run_folder = RunFolder.open(self.path)
            _lock(run_folder)
        else:
            about = store.environment(self.cfg.engine.device)
            name = self.folder.path.parent.name
            run_folder = RunFolder.create(self.path, name, overrides, self.standing.choices, about)
            kind = self.folder.record["rounds"][self.standing.round]["kind"]
            run_folder.record["round"] = {"index": self.standing.round, "kind": kind}
        return Member(self.cfg, overrides, run_folder)


@dataclass
class _Group:
    """Trials that train together, or one that trains alone, and the reason why."""

    trials: list[_Trial]
    stacked: bool
    reason: str

    def run(self) -> Iterator[tuple[_Trial, Run | Exception]]:
        """Train them; a stack that fails is trained one by one instead, so that only those fail that have to."""
        if self.stacked:
            members = [trial.open() for trial in self.trials]
            try:
                yield from zip(self.trials, train_stack(members, _data(self.trials[0].cfg)), strict=True)
                return
            except Exception as error:
                self.reason = f"the stack failed: {error}"
                for member in members:
                    member.folder.unlock()
        for trial in self.trials:
            yield trial, _run_alone(trial)


def _run_alone(trial: _Trial) -> Run | Exception:
    """A trial by the engine for one."""
    member = trial.open()
    try:
        choices = trial.standing.choices
        return train(member.cfg, member.overrides, choices, member.folder, _data(member.cfg), quiet=True)
    except Exception as error:
        if member.folder.record["status"] == "running":  # it failed before it could train
            member.folder.update(status="failed", finished=store.now(), error=str(error))
        member.folder.unlock()
        return error


def _kind(trial: Standing) -> tuple[int, str | None]:
    return trial.round, trial.shape


def _groups(trials: Sequence[_Trial], stack: Any, num_alike: int, folder: SweepFolder) -> Iterator[_Group]:
    """The trials by whether they train together; of those that go on, only such as stand at the same step do."""
    size, reason = 0, "sweep.stack is off"
    if stack not in ("off", 1):
        try:
            size, reason = decide([trial.cfg for trial in trials], stack, num_alike, _data(trials[0].cfg), folder)
        except Exception as error:  # whatever a trial's config does, it does to that trial when it runs
            reason = f"the look at whether stacking pays failed: {error}"
    if size == 0:
        yield from (_Group([trial], False, reason) for trial in trials)
        return

    def place(trial: _Trial) -> tuple[int, int]:
        return position(trial.path / "checkpoints") or (0, 0)

    for _, alike in groupby(sorted(trials, key=place), key=place):
        while together := list(islice(alike, size)):
            yield _Group(together, True, reason)


def _lock(folder: RunFolder) -> None:
    """Lock a folder, whose holder may be a process that is about to end: that of a sweep which was killed."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return folder.lock()
        except UserError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


_known: dict[str, Data] = {}  # the data set of the trial before, which the next one mostly has too

BATCHING = ("batch_size", "eval_batch_size", "drop_last", "preprocess", "num_workers", "route", "resident_limit_mb")


def _data(cfg: DictConfig) -> Data:
    """The trial's data set, with the images that are in memory already."""
    keys: Any = OmegaConf.to_container(cfg.data)
    identity = repr(sorted((key, value) for key, value in keys.items() if key not in BATCHING))
    made = build.data(cfg)
    if identity in _known:
        made.__dict__ |= {name: value for name, value in vars(_known[identity]).items() if name not in BATCHING}
    else:
        _known.clear()
        _known[identity] = made
    return made
