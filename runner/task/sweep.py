"""One job of a sweep: the trials it was given, run from their frozen configs, each noted in the journal."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner import build, store
from runner.data import Data
from runner.engine import device
from runner.errors import UserError
from runner.store import RunFolder, SweepFolder
from runner.sweep.journal import Journal, Standing
from runner.sweep.plugin import settings_of
from runner.sweep.search import event, why_give_up
from runner.task.load import Run
from runner.task.train import train


def run_trials(cfg: DictConfig) -> float | None:
    """What Hydra calls with each job: run its trials; gives the score of the last.

    A trial that fails is a status in the journal, not an error of the job.
    """
    folder = SweepFolder.open(Path(cfg.job.folder))
    settings = settings_of(folder.config.sweep)
    journal = Journal(folder.journal)
    score = None
    for number in cfg.job.trials:
        standings = journal.standings()
        if why_give_up(list(standings.values()), settings):
            break
        trial = standings[number]
        journal.append([event("started", trial)])
        began = time.perf_counter()
        try:
            run = _run(folder.trial(number), trial, cfg.job.until_epoch)
        except Exception as error:
            text = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error))
            ended = event("failed", trial, error=text)
        else:
            score = run.objective
            status = "paused" if run.status == "interrupted" else run.status
            ended = event(status, trial, error=run.record["error"]) | {"score": score}
        journal.append([ended | {"seconds": round(time.perf_counter() - began, 3)}])
    return score


def _run(path: Path, trial: Standing, until_epoch: int | None) -> Run:
    """Run one trial in its folder, or on from where it stands."""
    cfg, overrides = store.read_config(path), store.read_overrides(path)
    cfg.engine.pause_epoch = until_epoch
    if cfg.engine.device == "auto":
        cfg.engine.device = device.share(trial.trial)
    if (path / store.RUN).exists():
        run_folder = RunFolder.open(path)
        _lock(run_folder)
    else:
        about = store.environment(cfg.engine.device)
        run_folder = RunFolder.create(path, path.parent.parent.parent.name, overrides, trial.choices, about)
    run_folder.begin(cfg, overrides)
    try:
        return train(cfg, overrides, trial.choices, run_folder, _data(cfg), quiet=True)
    except Exception as error:
        if run_folder.record["status"] == "running":  # it failed before it could train
            run_folder.update(status="failed", finished=store.now(), error=str(error))
            run_folder.unlock()
        raise


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


LOCK_SECONDS = 10.0

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
