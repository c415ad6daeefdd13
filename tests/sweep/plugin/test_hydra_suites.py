"""Hydra's own suites, against our sweeper under its launchers, and our worker processes as a launcher."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hydra import version
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from runner.sweep.plugin.sweeper import CoarseToFine, register

pytestmark = pytest.mark.filterwarnings("ignore:.*Future Hydra versions:UserWarning")

Plugins.instance()
register()
SWEEPER = {"_target_": "runner.sweep.plugin.sweeper.CoarseToFine", "max_batch_size": None, "params": None}
ConfigStore.instance().store(group="hydra/sweeper", name="under_test", node=SWEEPER)


@pytest.fixture(autouse=True)
def _findable(monkeypatch):
    """Applications in processes of their own find the sweeper on this path; those in this process need it again."""
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version.setbase("1.1")  # as in a process that no command of ours ran in
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "plugin_path"))


def test_hydra_finds_the_sweeper():
    from hydra.plugins.sweeper import Sweeper

    assert CoarseToFine in Plugins.instance().discover(Sweeper)


@pytest.mark.parametrize(("launcher_name", "overrides"), [("basic", ["hydra/sweeper=under_test"])])
class TestSweeperUnderBasicLauncher(LauncherTestSuite):
    """The launcher's promises, with our sweeper above it."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("basic", ["hydra/sweeper=under_test", "hydra.sweeper.max_batch_size=2"])],
)
class TestBatches(BatchedSweeperTestSuite):
    """Batches of the size that was asked for, in the order of the choices."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({"defaults": [{"override hydra/launcher": "basic"}]}, ["-m", "hydra/sweeper=under_test"])],
)
class TestIntegration(IntegrationTestSuite):
    """A Hydra application in a process of its own."""
