"""Which launcher runs the jobs of a sweep."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from runner.errors import UserError
from runner.sweep.plugin.workers import WorkersLauncher


@contextmanager
def launcher(context: HydraContext, task: TaskFunction, whole: DictConfig, num_workers: int = 1) -> Iterator[Any]:
    """Hydra's launcher, or with several workers our own processes; these end with the block.

    Raises:
        UserError: both were asked for.
    """
    if num_workers == 1:
        made: Any = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=whole)
    elif not whole.hydra.launcher._target_.endswith(".BasicLauncher"):
        raise UserError("sweep.num_workers: hydra/launcher brings workers of its own; leave one of them out")
    else:
        made = WorkersLauncher(num_workers)
        made.setup(hydra_context=context, task_function=task, config=whole)
    try:
        yield made
    finally:
        if isinstance(made, WorkersLauncher):
            made.close()
