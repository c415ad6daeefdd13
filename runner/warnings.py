"""Warnings and notes to the person at the terminal: one line each, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager


def warn(text: str) -> None:
    """Print a warning at once."""
    _print("[yellow]warning:[/]", text)


def note(text: str) -> None:
    """Print what is worth knowing and is nothing wrong."""
    _print("[cyan]note:[/]", text)


def _print(head: str, text: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True).print(f"{head} {escape(text)}", highlight=False, soft_wrap=True)


@contextmanager
def failure_as_warning(what: str) -> Iterator[None]:
    """Turn an exception into a warning that `what` could not be written.

    For outputs that only show a result: their failure must never cost the result.
    """
    try:
        yield
    except Exception as error:
        warn(f"{what} could not be written ({type(error).__name__}: {error})")
