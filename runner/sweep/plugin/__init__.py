"""Hydra's side of a sweep: the sweeper, the launcher of worker processes, and how Hydra comes to know them."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from runner import config

MODULE = "hydra_plugins.runner_plugins"
DISCOVERY = Path(__file__).parent / "discovery"  # holds the namespace package of an installation


def register() -> None:
    """Let Hydra know our sweeper and launcher, also where runner is imported without being installed."""
    from hydra.core.plugins import Plugins

    config.load_plugins()
    plugins = Plugins.instance()
    module: Any = sys.modules.get(MODULE) or _load()
    plugins.register(module.RunnerSweeper)
    plugins.register(module.WorkersLauncher)


def _load() -> object:
    path = DISCOVERY / MODULE.replace(".", "/")
    spec = importlib.util.spec_from_file_location(MODULE, path.with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module
