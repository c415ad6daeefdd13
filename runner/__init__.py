"""Train, compare and tune image classifiers: `runner.train(["optimizer=adam"])`. Importing this imports no torch."""

import importlib
from typing import Any

_HOMES = {
    "compose": "runner.config:compose",
    "train": "runner.training.train:train_overrides",
    "load": "runner.training.run:load",
    "Run": "runner.training.run:Run",
    "UserError": "runner.errors:UserError",
}

__all__ = ["Run", "UserError", "build", "compose", "load", "train"]


def __getattr__(name: str) -> Any:
    if name == "build":
        return importlib.import_module("runner.build")
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'runner' has no attribute '{name}'")
