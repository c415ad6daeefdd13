"""Train, compare and tune image classifiers: `runner.train(["optimizer=adam"])`. Importing this imports no torch."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "compose": "runner.config",
    "train": "runner.task.train",
    "load": "runner.task.load",
    "Run": "runner.task.load",
    "UserError": "runner.errors",
}

__all__ = ["Run", "UserError", "build", "compose", "load", "train"]


def __getattr__(name: str) -> Any:
    if name == "build":
        return importlib.import_module("runner.build")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'runner' has no attribute '{name}'")
