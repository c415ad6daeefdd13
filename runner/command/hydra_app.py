"""Hydra's part of a command: it composes the config and calls the job, once or many times."""

import atexit
import gc
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from runner import config
from runner.errors import EXIT_DIVERGED, HydraExit, UserError, as_mistake

FLAGS_WITH_VALUE = {
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--cfg",
    "-c",
    "--package",
    "-p",
}


def run_hydra(config_name: str, words: Sequence[str], job: Callable[[Any], Any]) -> None:
    """Compose a config from the words of the command line and call the job with it.

    Raises:
        UserError: the line composes no config.
    """
    import hydra

    from runner.sweep.plugin import register

    register()
    overrides = flags_first(words)
    config.check_flags(overrides, lambda: config.flatten(config.compose(command=config_name)))
    for folder in config.named_folders(overrides):
        config.add_user_folder(folder)
    if Path("hydra_plugins").exists() and any(word.startswith("hydra/launcher=") for word in overrides):
        raise UserError("hydra_plugins: the launcher's processes would run this folder; install it, or move it away")
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us instead of Hydra's printer
    sys.argv = [f"runner {config_name}", *overrides, *config.search_path_override()]
    entry = hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=config_name)
    logging.raiseExceptions = False  # --info into a closed pipe
    try:
        entry(job)()
    except Exception as error:
        said = [word for word in overrides if not word.startswith("-")]
        raise config.explain(error, said, config_name, composing=not _is_ours(error)) from error


def _is_ours(error: Exception) -> bool:
    """Whether it came by way of our job or sweeper, so not while Hydra composed the config for them."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(frame.f_globals.get("__name__", "").startswith("runner.") for frame in frames[1:])


class TrainJob:
    """What Hydra calls with each composed config: a training, with the overrides and choices that led to it.

    Args:
        dry_run: only build everything and make one update.

    Attributes:
        status: the exit status: 3 where a training diverged, else 0.
    """

    __module__ = __name__
    __name__ = __qualname__ = "TrainJob"

    def __init__(self, dry_run: bool = False) -> None:
        self.dry_run = dry_run
        self.status = 0

    def __call__(self, cfg: Any) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        hydra = HydraConfig.get()
        overrides = list(hydra.overrides.task)
        alone = hydra.mode == RunMode.RUN
        if not alone:  # of another sweeper than ours
            print(f"job {hydra.job.num + 1}: {' '.join(overrides)}", flush=True)
            import_quickly("runner.engine.device").set_job_number(hydra.job.num)
        try:
            config.check(cfg, auto=True)
            training = import_quickly("runner.training.train")
            if self.dry_run:
                training.try_out(cfg)
                return None
            choices = config.choices(cfg, hydra.runtime.choices)
            run = training.train(cfg, overrides, choices, with_header=alone)
        except (UserError, OSError) as error:
            mistake = as_mistake(error)
            if alone:
                raise HydraExit(mistake) from None  # past Hydra, which would add lines of its own
            print(f"runner: job {hydra.job.num + 1}: {mistake}", file=sys.stderr)
            raise
        if cfg.log.progress != "none":
            run.print_summary(brief=not alone)
        if run.status == "diverged":
            self.status = EXIT_DIVERGED
        objective: float | None = run.objective
        return objective


def import_quickly(module: str) -> ModuleType:
    """Import a module whose objects stay: the collector need not look through them, now or at the end."""
    if module not in sys.modules:
        gc.disable()
        importlib.import_module(module)
        gc.freeze()
        gc.enable()
        atexit.register(_unfreeze)
    return sys.modules[module]


def _unfreeze() -> None:
    """Triton's library complains of whatever is not collected in the end."""
    if "triton" in sys.modules:
        gc.unfreeze()


def flags_first(words: Sequence[str]) -> list[str]:
    """The words with flags at the front: Hydra rejects overrides on both sides of one."""
    flags: list[str] = []
    overrides: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--info":
            flags.append("--info=all")
        elif word in FLAGS_WITH_VALUE:
            flags += [word, *([value] if (value := next(waiting, None)) is not None else [])]
        elif word.startswith("-"):
            flags.append(word)
        else:
            overrides.append(word)
    return flags + overrides
