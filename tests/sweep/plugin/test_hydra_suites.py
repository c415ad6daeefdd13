"""Hydra's own suites, against our sweeper under its launchers, and our worker processes as a launcher."""

import warnings

import pytest
from hydra import version
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from runner.sweep.plugin import register

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*Future Hydra versions:UserWarning")]


@pytest.fixture(autouse=True)
def _as_in_a_process_that_no_command_of_ours_ran_in(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version.setbase("1.1")
        register()
        yield
        version.setbase("1.3")  # as every command of ours sets it


def test_hydra_finds_the_sweeper_and_the_launcher():
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.sweeper import Sweeper

    assert "RunnerSweeper" in [found.__name__ for found in Plugins.instance().discover(Sweeper)]
    assert "WorkersLauncher" in [found.__name__ for found in Plugins.instance().discover(Launcher)]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("basic", ["hydra/sweeper=runner"])])
class TestSweeperUnderBasicLauncher(LauncherTestSuite):
    """The launcher's promises, with our sweeper above it."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("workers", []), ("workers", ["hydra/sweeper=runner"])], ids=["basic", "runner"]
)
class TestWorkersLauncher(LauncherTestSuite):
    """The same of our worker processes, under Hydra's own sweeper and under ours."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [
        ("basic", ["hydra/sweeper=runner", "hydra.sweeper.max_batch_size=2"]),
        ("workers", ["hydra/sweeper=runner", "hydra.sweeper.max_batch_size=2"]),
    ],
)
class TestBatches(BatchedSweeperTestSuite):
    """Batches of the size that was asked for, in the order of the choices."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({"defaults": [{"override hydra/launcher": "basic"}]}, ["-m", "hydra/sweeper=runner"])],
)
class TestIntegration(IntegrationTestSuite):
    """A Hydra application in a process of its own."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [
        ({"defaults": [{"override hydra/launcher": "workers"}]}, ["-m"]),
        ({"defaults": [{"override hydra/launcher": "workers"}]}, ["-m", "hydra/sweeper=runner"]),
    ],
    ids=["basic", "runner"],
)
class TestWorkersIntegration(IntegrationTestSuite):
    """The same with our worker processes."""
