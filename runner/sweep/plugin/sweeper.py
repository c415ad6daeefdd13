"""The sweep as a Hydra Sweeper, so that any Hydra launcher runs its trials.

Hydra imports this module whenever it looks for plug-ins, so it imports little itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RunnerSweeper(Sweeper):
    """Random search in rounds from coarse to fine: of training runs, or of any other Hydra application's jobs.

    Args:
        max_batch_size: at most so many jobs at once; null for all of a round.
        params: ranges by key, as Hydra's basic sweeper has them; those of the command line win.
    """

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context = hydra_context
        self.task = task_function
        self.whole = config

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run the whole sweep, or what is left of it; gives what the jobs returned, batch by batch.

        Raises:
            UserError: the space or a setting makes no sense.
            SweepFailed: too many trials failed.
        """
        given: dict[str, Any] = {"context": self.context, "task": self.task, "whole": self.whole}
        if "sweep" in self.whole and "_target_" in self.whole.sweep:
            from runner.sweep.plugin.training_sweep import sweep_training_runs

            return sweep_training_runs(arguments, self.max_batch_size, **given)
        from runner.sweep.plugin.generic import sweep_any_application

        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        return sweep_any_application(words, self.max_batch_size, **given)
