"""Train, compare and tune image classifiers: `runner.train("optimizer=adam")`. Importing this imports no torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner import build
    from runner.command.from_python import Sweep, compare, predict, sweep, test
    from runner.config import compose
    from runner.errors import UserError
    from runner.training.run import Run, load
    from runner.training.train import train_overrides as train

_HOMES = {
    "compare": "runner.command.from_python:compare",
    "compose": "runner.config:compose",
    "load": "runner.training.run:load",
    "predict": "runner.command.from_python:predict",
    "sweep": "runner.command.from_python:sweep",
    "test": "runner.command.from_python:test",
    "train": "runner.training.train:train_overrides",
    "Run": "runner.training.run:Run",
    "Sweep": "runner.command.from_python:Sweep",
    "UserError": "runner.errors:UserError",
}

__all__ = ["Run", "Sweep", "UserError", "build", "compare", "compose", "load", "predict", "sweep", "test", "train"]


def __getattr__(name: str) -> Any:
    if name == "build":
        return importlib.import_module("runner.build")
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'runner' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
