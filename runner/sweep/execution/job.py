"""One job of a sweep: the trials it was given, trained from their configs, each noted in the journal."""

import json
import os
import shlex
import socket
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NoReturn

import torch
from omegaconf import DictConfig

from runner import build, config, files, store
from runner.data import Data
from runner.data.fingerprint import what_changed
from runner.engine import device
from runner.engine.checkpoint_files import position
from runner.errors import DeviceFault, ImagesChanged, OutOfMemory, UserError, is_full_disk
from runner.lifetime import end_with
from runner.machine import is_device_fault, let_go_of_memory
from runner.objective import Objective
from runner.store import RunFolder, SweepFolder
from runner.store.config_file import FORMAT
from runner.sweep.execution import handover
from runner.sweep.execution.failures import why_give_up
from runner.sweep.execution.timing import Decision, allow_fewer, decide, most_together
from runner.sweep.record.journal import Journal, shared_journal
from runner.sweep.record.rounds import FinalRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import SweepSettings, read_settings
from runner.training.run import Run
from runner.training.train import Member, train_member, train_vectorized
from runner.warnings import warn

STARTS_ON_FAULTS = 2  # of a trial in which a GPU stops
IMAGES, IMAGES_LOCK = "images.json", ".images.lock"
LOCK_SECONDS = 60.0  # of waiting for a process that is about to end: that of a sweep which was killed


def run_job(cfg: DictConfig) -> float | None:
    """What Hydra calls with each job: run its trials; gives the score of the last.

    A trial that fails is a status in the journal, not an error of the job.
    """
    end_with(cfg.job.main)
    folder = SweepFolder.open(Path(cfg.job.folder))
    settings = read_settings(folder.config.sweep)
    journal = shared_journal(folder.journal)
    journal.refresh()
    device.set_job_number(cfg.job.trials[0])
    records = [journal.trials[number] for number in cfg.job.trials]
    trials = _readable(records, folder, journal, cfg.job.accept_changed_images, settings)
    score, under_way = None, records
    try:
        for group in _groups(trials, settings, journal, folder):
            under_way = [trial.record for trial in group.trials]
            journal.refresh()
            if why_give_up(journal, settings):
                break
            journal.append(trial.event("started", note=group.reason) for trial in under_way)
            score = _run_group(group, cfg.job.until_epoch, journal)
    except torch.AcceleratorError as error:
        _leave(error, under_way, journal, cfg.job.main, folder)
    return score


def _run_group(group: "_Group", until_epoch: int | None, journal: Journal) -> float | None:
    """Run trials to their end or a pause, and journal each; gives the score of the last."""
    began, score = time.perf_counter(), None
    for ends in group.run(until_epoch):
        events = []
        for trial, outcome in ends:
            if is_full_disk(outcome):
                raise outcome
            event = _end(trial.record, outcome)
            score = event["score"]
            seconds = (time.perf_counter() - began) / len(group.trials)
            events.append(event | {"seconds": round(seconds, 3)})
        journal.append(events)
    return score


def _leave(
    error: Exception, under_way: Iterable[TrialRecord], journal: Journal, main: Mapping[str, Any], folder: SweepFolder
) -> NoReturn:
    """End this process, which its GPU refuses from now on. Its trials are tried once more, by another process.

    Raises:
        DeviceFault: the process is that of the sweep, which ends with it.
    """
    journal.refresh()
    begun = [trial for trial in (journal.trials[record.trial] for record in under_way) if not trial.ended]
    journal.append(_end(trial, error) for trial in begun if trial.num_starts >= STARTS_ON_FAULTS)
    said = str(error).splitlines()[0]
    numbers = ", ".join(str(trial.trial) for trial in begun)
    if main["pid"] == os.getpid() and main["host"] == socket.gethostname():
        again = f"runner resume {shlex.quote(os.path.relpath(folder.path))}{config.trust_flag(folder.config)}"
        raise DeviceFault(f"the GPU stopped in trial {numbers} ({said}), and takes no more from this process; {again}")
    warn(f"the GPU stopped a worker in trial {numbers} ({said}); another worker takes its place")
    os._exit(1)


def _readable(
    records: Sequence[TrialRecord],
    folder: SweepFolder,
    journal: Journal,
    accept_changed_images: bool,
    settings: SweepSettings,
) -> Iterator["_Trial"]:
    """The trials whose configs and images can be read; the others are journaled as failed, and the job goes on.

    Raises:
        ImagesChanged: the images are others than before.
    """
    for record in records:
        try:
            trial = _Trial(folder, record, accept_changed_images, settings, journal)
            _check_images(folder, _data(trial.cfg), accept_changed_images)
            yield trial
        except Exception as error:
            if isinstance(error, ImagesChanged) or is_full_disk(error):
                raise
            journal.append([_end(record, error)])


def _check_images(folder: SweepFolder, dataset: Data, accept_changed: bool) -> None:
    """Hold the images to those of the trials before, and note those of a data set that comes for the first time."""
    images = str({key: value for key, value in dataset.identity.items() if key not in ("root", "cache")})
    now = dataset.fingerprint
    if (folder.path, images, tuple(now.items())) in _checked:
        return
    with files.make_lock(folder.path / IMAGES_LOCK):
        known = folder.read_json(IMAGES).get("data_sets")
        known = known if isinstance(known, dict) else {}
        changed = what_changed(known.get(images, {}), now)
        if changed and not accept_changed:
            raise ImagesChanged(
                f"data: {changed} since the sweep began; put it back, or resume with --accept-changed-data"
            )
        if known.get(images) != now:
            content = {"format": FORMAT, "data_sets": known | {images: dict(now)}}
            folder.replace(IMAGES, json.dumps(content, indent=1) + "\n")
    _checked.add((folder.path, images, tuple(now.items())))


_checked: set[tuple[Any, ...]] = set()  # images that this process has held to those before


def _end(trial: TrialRecord, outcome: Run | Exception) -> dict[str, Any]:
    """The event of a trial's end, or of its wait at half its epochs."""
    if isinstance(outcome, UserError):
        return trial.event("failed", error=str(outcome))
    if isinstance(outcome, Exception):
        return trial.event("failed", error="".join(traceback.format_exception(outcome)))
    status = "waiting" if outcome.status == "interrupted" else outcome.status
    return trial.event(status, error=outcome.record["error"]) | {"score": outcome.objective}


class _Trial:
    """A queued trial with its stored config."""

    def __init__(
        self,
        folder: SweepFolder,
        record: TrialRecord,
        accept_changed_images: bool,
        settings: SweepSettings,
        journal: Journal,
    ) -> None:
        self.accept_changed_images = accept_changed_images
        self.settings = settings
        self.journal = journal
        self.folder = folder
        self.record = record
        self.path = folder.trial(record.trial)
        self.cfg = handover.take(folder.path, record) or store.read_config(self.path)

    def open(self, until_epoch: int | None) -> Member:
        """Its folder as a run, locked."""
        overrides = store.read_overrides(self.path)
        if (self.path / store.RUN).exists():
            run_folder = RunFolder.open(self.path)
            run_folder.lock(LOCK_SECONDS)
        else:
            about = store.environment(self.cfg.engine.device)
            name = self.folder.path.parent.name
            run_folder = RunFolder.create(self.path, name, overrides, self.record.choices, about)
            run_folder.record["round"] = {"index": self.record.round, "kind": self._round_kind}
        wanted = None
        if until_epoch is None and self._round_kind != FinalRound.kind and self.settings.keep_checkpoints != "all":
            wanted = self._may_be_best
        return Member(
            self.cfg, overrides, run_folder, True, self.accept_changed_images, self.settings.tensorboard, wanted
        )

    @property
    def _round_kind(self) -> str:
        return str(self.folder.record["rounds"][self.record.round]["kind"])

    def _may_be_best(self, score: float | None) -> bool:
        """Whether nothing that has finished is better than this one, so that its checkpoints may be kept."""
        self.journal.refresh()
        if score is None or self.settings.keep_checkpoints == "none":
            return False
        objective = Objective(**self.folder.record["objective"])
        mine = objective.order(score), self.record.trial
        others = self.journal.extremes.get(self.record.round, ())
        return all(mine <= (objective.order(other.score or 0.0), other.trial) for other in others)


@dataclass
class _Group:
    """Trials that train together, or one that trains alone, and the reason why."""

    trials: list[_Trial]
    vectorized: bool
    reason: str
    num_threads: int = 0

    def run(self, until_epoch: int | None) -> Iterator[list[tuple[_Trial, Run | Exception]]]:
        """Train them, and give those that ended together.

        Vectorized trials that do not fit into the memory are halved. Those that fail otherwise are trained one by one,
        so that only those fail that must.
        """
        if self.vectorized:
            out_of_memory = False
            members: list[Member] = []
            try:
                members += (trial.open(until_epoch) for trial in self.trials)
                runs = train_vectorized(members, _data(self.trials[0].cfg), until_epoch, self.num_threads)
                yield list(zip(self.trials, runs, strict=True))
                return
            except Exception as error:
                if is_device_fault(error):
                    raise
                self.reason = f"vectorized training failed: {error}"
                out_of_memory = isinstance(error, OutOfMemory)
                for member in members:
                    member.folder.unlock()
            let_go_of_memory()
            if out_of_memory and len(self.trials) > 1:
                yield from self._halved(until_epoch)
                return
        for trial in self.trials:
            yield [(trial, _run_alone(trial, until_epoch))]

    def _halved(self, until_epoch: int | None) -> Iterator[list[tuple[_Trial, Run | Exception]]]:
        """Train one half after the other, and write down that no more fit."""
        size = (len(self.trials) + 1) // 2
        allow_fewer(self.trials[0].cfg, size, self.trials[0].folder)
        for half in (self.trials[:size], self.trials[size:]):
            yield from _Group(half, True, self.reason, self.num_threads).run(until_epoch)


def _run_alone(trial: _Trial, until_epoch: int | None) -> Run | Exception:
    """A trial by itself."""
    try:
        member = trial.open(until_epoch)
    except Exception as error:
        return error
    try:
        return train_member(member, _data(member.cfg), until_epoch)
    except Exception as error:
        if is_device_fault(error):
            raise
        if member.folder.record["status"] == "running":  # it failed before it could train
            member.folder.update(status="failed", finished=store.now(), error=str(error))
        return error
    finally:
        member.folder.unlock()


def _groups(
    readable: Iterable[_Trial], settings: SweepSettings, journal: Journal, folder: SweepFolder
) -> Iterator[_Group]:
    """The trials by whether they train together; of those that go on, only such as stand at the same step do.

    Where none do, a trial is read when its turn comes, for a job may have ten thousand.
    """
    if settings.vectorize in ("off", 1):
        yield from (_Group([trial], False, "sweep.vectorize is off") for trial in readable)
        return
    trials = list(readable)
    decision = Decision(0, "")
    if trials:
        first = trials[0].record
        num_alike = journal.num_alike[first.round, first.signature]
        cfgs = [trial.cfg for trial in trials]
        try:
            decision = decide(cfgs, settings.vectorize, num_alike, _data(cfgs[0]), folder)
        except Exception as error:  # whatever a trial's config does, it does to that trial when it runs
            if is_device_fault(error):
                raise
            decision = Decision(0, f"timing the vectorized trials failed: {error}")
    if decision.together == 0:
        yield from (_Group([trial], False, decision.reason) for trial in trials)
        return

    def place(trial: _Trial) -> tuple[int, int]:
        return position(trial.path / "checkpoints") or (0, 0)

    for _, at_one_step in groupby(sorted(trials, key=place), key=place):
        alike = iter(list(at_one_step))
        while size := most_together(trials[0].cfg, folder):
            if not (together := list(islice(alike, size))):
                break
            yield _Group(together, True, decision.reason, decision.num_threads)
        too_large = "the device has too little memory for several trials"
        yield from (_Group([trial], False, too_large) for trial in alike)


_latest: list[Data] = []  # the data set of the trial before, which the next one mostly has too


def _data(cfg: DictConfig) -> Data:
    """The trial's data set, with the images of the one before where these are the same."""
    dataset = build.data(cfg)
    if _latest:
        dataset = dataset.with_images_of(_latest[0])
    _latest[:] = [dataset]
    return dataset
