"""`runner list [PATH..]`: the runs and sweeps under folders, the newest last."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runner.arguments import ArgumentParser
from runner.errors import UserError
from runner.store import find_folder
from runner.store.listing import Entry, find_entries

WIDE = 10_000  # columns, where nobody looks at it on a terminal
ABOUT = "tags and note"
LEAST_FIRST = ("MiB", "kind", "started", ABOUT, "best", "status")  # columns left out for want of width
COLORS = {"finished": "green", "diverged": "red", "failed": "red", "running": "cyan"}


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, list, and give the exit status."""
    parser = ArgumentParser(
        prog="runner list",
        description="Runs and sweeps with their status, best value, start, size and tags; a sweep for its trials.",
        epilog="example: runner list outputs/digits-convnet --status killed",
    )
    parser.add_argument("paths", nargs="*", type=find_folder, metavar="PATH", help="folders with runs (outputs)")
    parser.add_argument("--status", help="those with it: running, finished, failed, diverged, interrupted or killed")
    parser.add_argument("--tag", help="those with it")
    arguments = parser.parse_intermixed_args(list(words))
    paths = arguments.paths or [Path("outputs")]
    for path in paths:
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; name a run's folder or one that holds runs, such as outputs")
    entries = [entry for path in paths for entry in find_entries(path)]
    entries = [entry for entry in entries if arguments.status in (None, entry.status)]
    entries = [entry for entry in entries if arguments.tag is None or arguments.tag in entry.annotations[0]]
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    if entries:
        _print(console, sorted(entries, key=lambda entry: str(entry.record.get("started"))))
    else:
        console.print("no runs here")
    for entry in entries:
        if entry.status == "killed":
            console.print(f"killed; go on with: runner resume {shlex.quote(str(entry.path))}", soft_wrap=True)
    return 0


def _print(console: Console, entries: Sequence[Entry]) -> None:
    """Print a line for each. Where not all columns fit, those that say least are left out, never part of a name."""
    columns = {
        "folder": [escape(str(entry.path)) for entry in entries],
        "kind": [entry.kind for entry in entries],
        "status": [f"[{COLORS.get(entry.status, 'yellow')}]{entry.status}[/]" for entry in entries],
        "best": ["-" if entry.best is None else f"{entry.best:.4f}" for entry in entries],
        "started": [str(entry.record.get("started", "-")).replace("T", " ") for entry in entries],
        "MiB": [f"{entry.num_bytes / 2**20:.1f}" for entry in entries],
        ABOUT: [escape(_about(entry)) for entry in entries],
    }
    widths = {name: max(map(cell_len, [name, *cells])) + 2 for name, cells in columns.items()}
    widths |= {"status": max(len(entry.status) for entry in entries) + 2, ABOUT: min(20, widths[ABOUT])}
    for name in LEAST_FIRST:
        if sum(widths[kept] for kept in columns) <= console.width:
            break
        del columns[name]
    console.print(_table(columns))


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        right = name in ("best", "MiB")
        # The last column alone takes several lines.
        table.add_column(name, justify="right" if right else "left", no_wrap=name != ABOUT, overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _about(entry: Entry) -> str:
    tags, note = entry.annotations
    return " ".join([*(f"#{tag}" for tag in tags), note]).strip()
