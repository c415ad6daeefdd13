"""A sweep of any Hydra application: its jobs get overrides and return their score."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from runner import store
from runner.objective import Objective
from runner.store import SweepFolder
from runner.sweep.execution.batching import TrialBatcher
from runner.sweep.execution.failures import value_or_error
from runner.sweep.execution.search import SearchRun
from runner.sweep.execution.task import job_failures
from runner.sweep.plugin.launchers import launcher
from runner.sweep.record.status import recorded_status
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.overrides import merge_overrides, parse_overrides
from runner.sweep.space.space import Space
from runner.sweep.strategy.plan import Plan

ROUNDS = (24, 12, 6)  # trials of each, where there is a range to draw from


class AnyTask:
    """Trials that are jobs of an application that is not ours. See `Task`."""

    def __init__(self, shared: Sequence[str]) -> None:
        self.shared = shared

    def prepare(self, trial: TrialRecord) -> None:
        """Nothing: the application makes its own configs."""

    def mend(self, trial: TrialRecord) -> None:
        """Nothing, as well."""

    def drop_checkpoints(self, trials: Iterable[TrialRecord]) -> None:
        """Nothing: what its jobs write is the application's own."""

    def job_overrides(self, trials: Sequence[TrialRecord], until_epoch: int | None) -> list[str]:
        (trial,) = trials
        return merge_overrides(self.shared, trial.overrides)

    def unrecorded_ends(self, trials: Sequence[TrialRecord], returned: JobReturn) -> list[dict[str, Any]]:
        failures = job_failures(trials, returned)
        if failures or isinstance(value_or_error(returned), Exception):
            return failures
        return [trial.event("finished", score=_score(returned.return_value)) for trial in trials if not trial.ended]


def sweep_any_application(
    words: list[str], max_batch_size: int | None, context: HydraContext, task: TaskFunction, whole: DictConfig
) -> list[Sequence[JobReturn]]:
    """All combinations of choices; or, with a range among them, three rounds of points, where more is better.

    Raises whatever a job raised.
    """
    parsed = parse_overrides(words, context.config_loader)
    space = Space({key: value for key, value in parsed.items() if not isinstance(value, str)})
    settings = SweepSettings(num_finalists=0)
    rounds = [RoundPlan(number, None) for number in (ROUNDS if space.size == math.inf else [int(space.size)])]
    plan = Plan(settings, space, rounds, None, Objective("score", "max"))
    path = Path(whole.hydra.sweep.dir)
    path.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(whole, path / "multirun.yaml")
    own = store.make_folder(path, "runner")  # the application may choose one folder for all its sweeps
    folder = SweepFolder.create(own, path.name, words, settings.seed, {})
    shared = [f"{key}={value}" for key, value in parsed.items()]  # a point's takes the place of a range's
    with recorded_status(folder), launcher(context, task, whole) as launching:
        search = SearchRun(folder, plan, AnyTask(shared), launching.launch, TrialBatcher("off", None), max_batch_size)
        search.run()
    for returned in (job for batch in search.returns for job in batch):
        _ = returned.return_value  # raises what the job raised
    return search.returns


def _score(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
