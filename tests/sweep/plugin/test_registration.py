"""How Hydra comes to know our sweeper and launcher."""

import sys

from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from runner import config
from runner.sweep import plugin
from runner.sweep.plugin import generic
from runner.sweep.plugin.sweeper import RunnerSweeper


def test_without_an_installation_the_file_that_it_would_discover_is_read(monkeypatch):
    monkeypatch.delitem(sys.modules, plugin.MODULE, raising=False)
    module = plugin._load()
    assert sys.modules[plugin.MODULE] is module
    assert issubclass(module.RunnerSweeper, RunnerSweeper)
    assert module.WorkersLauncher.__name__ == "WorkersLauncher"


def test_hydra_is_told_of_both(monkeypatch):
    told = []
    monkeypatch.setattr(Plugins.instance(), "register", told.append)
    plugin.register()
    assert [kind.__name__ for kind in told] == ["RunnerSweeper", "WorkersLauncher"]


def test_any_application_has_as_many_trials_as_a_training_by_default():
    training = OmegaConf.load(config.folder() / "sweep/default.yaml")
    assert list(generic.ROUNDS) == [one.trials for one in training.rounds]
