"""Which launcher runs the jobs of a sweep."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from runner.errors import UserError
from runner.gpus import has_gpu
from runner.sweep.plugin.workers import WorkersLauncher


def _ask_ray_for_gpus(whole: DictConfig) -> None:
    """One for each job where the config says nothing, since Ray hides the GPUs from jobs that ask for none."""
    hydra_launcher = whole.hydra.launcher
    if "hydra_ray_launcher" in hydra_launcher._target_ and "ray" in hydra_launcher and has_gpu():
        with open_dict(hydra_launcher):
            hydra_launcher.ray.remote.setdefault("num_gpus", 1)


@contextmanager
def launcher(context: HydraContext, task: TaskFunction, whole: DictConfig, num_workers: int = 1) -> Iterator[Any]:
    """Hydra's launcher, or with several workers our own processes; these end with the block.

    Raises:
        UserError: both were asked for.
    """
    if num_workers == 1:
        _ask_ray_for_gpus(whole)
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
