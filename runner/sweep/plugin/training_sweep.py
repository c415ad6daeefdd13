"""A sweep of training runs, from its composed config to its result."""

import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from runner import config, store
from runner.errors import DeviceFault, Interrupted, SweepFailed
from runner.objective import training_objective
from runner.store import SweepFolder
from runner.sweep.execution.batching import TrialBatcher, num_parallel_jobs
from runner.sweep.execution.failures import exit_status
from runner.sweep.execution.resume import check_unchanged
from runner.sweep.execution.search import SearchRun
from runner.sweep.execution.task import TrainingTask
from runner.sweep.plugin.launchers import launcher
from runner.sweep.record.journal import Journal
from runner.sweep.record.status import recorded_status
from runner.sweep.report import terminal
from runner.sweep.report.finish import finish, report_on
from runner.sweep.report.tensorboard import writing_scalars
from runner.sweep.settings import SweepSettings, read_settings
from runner.sweep.space.build import build_space
from runner.sweep.space.space import key_of
from runner.sweep.space.trial_configs import TrialConfigs
from runner.sweep.strategy.plan import Plan
from runner.warnings import warn

NOT_SEARCHED = ("sweep=", "sweep.", "job.")


def sweep_training_runs(
    arguments: list[str], max_batch_size: int | None, context: HydraContext, task: TaskFunction, whole: DictConfig
) -> list[Sequence[JobReturn]]:
    """Run the sweep that the config describes, or what is left of it.

    Raises:
        UserError: the space or a setting makes no sense, or the sweep was begun with another.
        SweepFailed: too many trials failed, or none finished.
        Interrupted: a signal stopped it; the trials have saved.
    """
    trust = "job" not in whole or whole.job.trust  # one that goes on may have been written by anybody
    if not trust:
        config.check_trusted(_without_hydra(whole), resolve=True)
    config.check_sweep(whole)
    settings = read_settings(whole.sweep)
    shared, plan, configs = _plan(arguments, settings, context, whole, trust)
    if "job" in whole and whole.job.only_report:
        report_on(SweepFolder.open(Path(os.path.relpath(whole.job.folder))), plan, shared)
        return []
    folder = _open_folder(arguments, plan, configs, whole)
    _latest[:] = [folder.path]
    log, objective = whole.log, plan.objective
    batch = TrialBatcher(settings.vectorize, num_parallel_jobs(whole.hydra.launcher, settings.num_workers))
    tensorboard = log.tensorboard and settings.tensorboard != "none"
    end = partial(finish, folder, plan, shared, settings.report, tensorboard)
    try:
        with (
            recorded_status(folder),
            launcher(context, task, whole, settings.num_workers) as launching,
            writing_scalars(folder, objective, tensorboard),
            terminal.progress(folder, plan, log.progress),
        ):
            training = TrainingTask(folder, configs, "job" in whole and whole.job.accept_changed_images)
            search = SearchRun(folder, plan, training, launching.launch, batch, max_batch_size)
            search.run()
            trials = list(search.journal.trials.values())
            if trials and not search.journal.counts["finished"]:
                raise SweepFailed(f"no trial has finished; the first {trials[0].status}: {trials[0].reason}")
    except SweepFailed as error:
        end(quiet=True)
        journal = Journal(folder.journal)
        journal.refresh()
        if not isinstance(error, DeviceFault):
            error.status = exit_status(journal)
        raise
    except (Interrupted, KeyboardInterrupt):
        again = f"runner resume {shlex.quote(str(folder.path))}{config.trust_flag(folder.config)}"
        Console().print(f"interrupted; go on with: {again}", highlight=False, soft_wrap=True)
        raise
    end(quiet=log.progress == "none")
    return search.returns


_latest: list[Path] = []  # the folder of the sweep that this process ran last


def latest_folder() -> Path:
    """The folder of the sweep that this process ran last."""
    return _latest[0]


def _plan(
    arguments: list[str], settings: SweepSettings, context: HydraContext, whole: DictConfig, trust: bool
) -> tuple[list[str], Plan, TrialConfigs]:
    """The overrides that all trials share, the plan, and the configs of its points."""
    epochs = whole.engine.epochs
    round_plans = settings.plan_rounds(epochs)
    given = [word for word in arguments if not word.lstrip("+").startswith(NOT_SEARCHED)]
    sweep_words = [word for word in arguments if word not in given]
    shared, space, configs = build_space(
        given,
        settings.space,
        settings.conditional or {},
        partial(_compose, context, whole, sweep_words),
        context.config_loader,
        any(word.lstrip("+").startswith("sweep.conditional") for word in sweep_words),
        trust,
    )
    objective = training_objective(whole.objective.name, whole.objective.mode)
    return shared, Plan(settings, space, round_plans, epochs, objective), configs


def _compose(
    context: HydraContext, whole: DictConfig, sweep_words: list[str], words: list[str]
) -> tuple[DictConfig, dict[str, str]]:
    """A trial's config before its numbers are put in, with its choices."""
    overrides = [*whole.hydra.overrides.hydra, *sweep_words, *words]
    try:
        composed = context.config_loader.load_configuration("sweep", overrides, RunMode.RUN)
    except Exception as error:
        raise config.explain(error, words, "sweep", composing=True) from error
    chosen = config.choices(composed, composed.hydra.runtime.choices)
    return _without_hydra(composed), chosen


def _without_hydra(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key not in ("hydra", "job")])


def _open_folder(arguments: list[str], plan: Plan, configs: TrialConfigs, whole: DictConfig) -> SweepFolder:
    """The sweep's folder, new or gone on with, locked, with the sweep's whole config in it."""
    cfg = whole.copy()
    with open_dict(cfg):
        del cfg["hydra"]
        job: Any = cfg.pop("job", None)
    overrides = [word for word in arguments if not word.startswith("+job.")]
    if job:
        folder = SweepFolder.open(Path(os.path.relpath(job.folder)))
        folder.lock()
        try:
            check_unchanged(folder, plan, cfg, configs)
        except BaseException:
            folder.unlock()
            raise
        for change in store.changes(folder):
            warn(change)
    else:
        choices = configs.choices([])
        name = cfg.name or "-".join(choices[group] for group in ("data", "model"))
        path = store.make_folder(Path(cfg.output_dir), name, ["sweep", *_said(plan, whole)])
        folder = SweepFolder.create(path, name, overrides, plan.settings.seed, store.environment("by trial"))
    folder.update(
        status="running",
        overrides=overrides,
        space=plan.space.describe(),
        finished=None,
        objective={"name": plan.objective.name, "mode": plan.objective.mode},
        config_folders=[str(path) for path in config.user_folders()],
    )
    store.write_config(folder.path, cfg, overrides)
    return folder


def _said(plan: Plan, whole: DictConfig) -> list[str]:
    """The word that was said for the search, or else the keys that it searches, for the folder's name."""
    word = str(whole.hydra.runtime.choices.get("sweep", "default"))
    leaves = config.flatten(_without_hydra(whole))
    keys = dict.fromkeys(config.short_key(key_of(name).lstrip("+"), leaves) for name in plan.space.dimensions)
    return list(keys) if word == "default" else word.split("_")
