"""What Hydra finds of runner: `hydra/sweeper=runner` and `hydra/launcher=workers`, for any Hydra application.

Hydra takes plug-ins from the namespace package `hydra_plugins` alone, so this module is installed there.
"""

from hydra.core.config_store import ConfigStore

from runner.sweep.plugin import sweeper, workers


class RunnerSweeper(sweeper.RunnerSweeper):
    """See runner.sweep.plugin.sweeper."""


class WorkersLauncher(workers.WorkersLauncher):
    """See runner.sweep.plugin.workers."""


def _store(group: str, name: str, plugin: type, **keys: object) -> None:
    node = {"_target_": f"{plugin.__module__}.{plugin.__qualname__}", **keys}
    ConfigStore.instance().store(group=group, name=name, node=node, provider="runner")


_store("hydra/sweeper", "runner", RunnerSweeper, max_batch_size=None, params=None)
_store("hydra/launcher", "workers", WorkersLauncher, num_workers=2)
