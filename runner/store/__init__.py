"""Folders of runs and sweeps: their identity, their status and their plain files. Imports no torch."""

from runner.store.config_file import read_config, read_overrides, write_config
from runner.store.environment import environment, now
from runner.store.run_folder import RUN, RunFolder, make_folder, plain
from runner.store.sweep_folder import SweepFolder, changes

__all__ = [
    "RUN",
    "RunFolder",
    "SweepFolder",
    "changes",
    "environment",
    "make_folder",
    "now",
    "plain",
    "read_config",
    "read_overrides",
    "write_config",
]
