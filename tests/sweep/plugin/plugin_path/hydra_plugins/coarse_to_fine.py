"""Our sweeper as a plug-in that any Hydra application finds, for the suites that start applications of their own."""

from hydra.core.config_store import ConfigStore

from runner.sweep.plugin.sweeper import CoarseToFine


class Found(CoarseToFine):
    """Hydra instantiates plug-ins of this package alone."""


NODE = {"_target_": "hydra_plugins.coarse_to_fine.Found", "max_batch_size": None, "params": None}
ConfigStore.instance().store(group="hydra/sweeper", name="under_test", node=NODE)
