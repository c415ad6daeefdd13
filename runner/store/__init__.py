"""Folders of runs and sweeps: their identity, their status and their plain files. Imports no torch."""

from runner.store.config_file import CONFIG, read_config, read_overrides, write_config
from runner.store.environment import environment, now
from runner.store.names import find_folder, make_folder
from runner.store.run_folder import ENVIRONMENT, RUN, RunFolder, remove_checkpoints, to_plain
from runner.store.sweep_folder import SWEEP, SweepFolder, changes
