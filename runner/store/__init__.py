"""A run's folder: its identity, its status and its plain files. Imports no torch."""

from runner.store.environment import environment, now
from runner.store.folder import RunFolder

__all__ = ["RunFolder", "environment", "now"]
