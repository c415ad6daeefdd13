"""`runner list [PATH..]`: the runs and sweeps under folders, the newest last."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from runner.arguments import ArgumentParser
from runner.errors import UserError
from runner.store import find_folder
from runner.store.listing import find_entries

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
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("folder", "left"), ("kind", "left"), ("status", "left"), ("best", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for heading, justify in (("started", "left"), ("MiB", "right"), ("tags and note", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for entry in sorted(entries, key=lambda entry: str(entry.record.get("started"))):
        color = COLORS.get(entry.status, "yellow")
        best = "-" if entry.best is None else f"{entry.best:.4f}"
        tags, note = entry.annotations
        about = " ".join([*(f"#{tag}" for tag in tags), note]).strip()
        started = str(entry.record.get("started", "-")).replace("T", " ")
        size = f"{entry.num_bytes / 2**20:.1f}"
        table.add_row(str(entry.path), entry.kind, f"[{color}]{entry.status}[/]", best, started, size, about)
    console = Console(highlight=False)
    console.print(table if entries else "no runs here")
    for entry in entries:
        if entry.status == "killed":
            console.print(f"killed; go on with: runner resume {shlex.quote(str(entry.path))}", soft_wrap=True)
    return 0
