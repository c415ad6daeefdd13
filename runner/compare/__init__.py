"""Runs side by side: what differs, which is better, and how sure that is. Imports no torch."""

from runner.callable_package import make_callable

make_callable(__name__)
