"""Packages that are called: `runner.sweep(...)` and `runner.compare(...)` are commands, and packages of these names."""

import sys
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package whose call is that of the function of its name in `runner.command.from_python`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        import importlib

        commands = importlib.import_module("runner.command.from_python")
        return getattr(commands, self.__name__.rpartition(".")[2])(*arguments, **options)


def make_callable(package: str) -> None:
    """Make a package callable that is being imported."""
    sys.modules[package].__class__ = CallablePackage
