"""What the commands on a stored run share: a folder, overrides, and whether to trust it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.arguments import ArgumentParser
from runner.store import find_folder
from runner.store.listing import Entry, find_entries


def add_folder(parser: ArgumentParser) -> None:
    """The argument of a command on one run or sweep."""
    parser.add_argument("folder", type=find_folder, help="its path, last, its number, or any part of its name")


def add_selection(parser: ArgumentParser, **options: Any) -> None:
    """The arguments of a command on several: `paths`, and the conditions that runs meet."""
    parser.add_argument("paths", type=find_folder, metavar="RUN", **options)
    parser.add_argument("--where", action="append", default=[], metavar="'KEY OP VALUE'", help="only runs that meet it")


def select(paths: Sequence[Path], conditions: Sequence[str]) -> list[Entry]:
    """The runs and sweeps in and under the paths; with conditions, the runs alone that meet all.

    Raises:
        UserError: a condition is none, or its key is in no run.
    """
    from runner.compare.filter import where  # here, for most commands on stored runs select none
    from runner.store.run_index import RunSummary

    entries = [entry for path in paths for entry in find_entries(path)]
    if not conditions:
        return entries
    met = {run.path for run in where([RunSummary.read(one.path) for one in entries if one.kind == "run"], conditions)}
    return [entry for entry in entries if entry.path in met]


def stored_run_parser(command: str, description: str, changes: str, example: str) -> ArgumentParser:
    """A parser of `FOLDER [KEY=VALUE ..] [--trust]`. `changes`: an example of an override."""
    parser = ArgumentParser(prog=f"runner {command}", description=description, epilog=f"example: runner {example}")
    parser.add_argument(
        "folder", type=find_folder, help="the run's folder: its path, last, its number, or any part of its name"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"changes, such as {changes}")
    parser.add_argument(
        "--trust", action="store_true", help="let the stored config build classes that are not runner's"
    )
    return parser
