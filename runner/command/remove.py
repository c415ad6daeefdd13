"""`runner remove RUN..`: runs and sweeps, or their checkpoints alone."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from runner.arguments import ArgumentParser
from runner.command.stored import add_selection, select
from runner.errors import UserError
from runner.store.listing import Entry, is_locked

CHECKPOINT = re.compile(r"(last|previous|best|epoch-\d+)\.pt|manifest\.json")


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, ask, remove, and give the exit status."""
    parser = ArgumentParser(
        prog="runner remove",
        description="Remove runs and sweeps, or free their checkpoints alone. Asks first.",
        epilog="example: runner remove outputs --where 'val/accuracy<0.5' --where status=finished --checkpoints",
    )
    add_selection(parser, nargs="+", help="runs, sweeps, or folders with runs")
    parser.add_argument("--checkpoints", action="store_true", help="remove the checkpoints and keep the rest")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_intermixed_args(list(words))
    entries = select(arguments.paths, arguments.where)
    if not entries:
        raise UserError(f"{', '.join(map(str, arguments.paths))}: no run and no sweep to remove; see runner list")
    for entry in entries:
        if is_locked(entry.path):
            raise UserError(f"{entry.path}: a process works in it; stop it first with: runner stop {entry.path}")
    files = [path for entry in entries for path in _checkpoints(entry)] if arguments.checkpoints else []
    size = sum(path.stat().st_size for path in files) if files else sum(entry.num_bytes for entry in entries)
    what = f"the checkpoints of {len(entries)}" if arguments.checkpoints else str(len(entries))
    for entry in entries:
        print(entry.path)
    question = f"remove {what} run{'s' * (len(entries) != 1)} ({size / 2**20:.1f} MiB)? [y/N] "
    if not arguments.yes and input(question).strip().lower() not in ("y", "yes"):
        print("nothing removed")
        return 0
    for path in files:
        path.unlink()
    for entry in () if arguments.checkpoints else entries:
        shutil.rmtree(entry.path)
    print(f"removed {size / 2**20:.1f} MiB")
    return 0


def _checkpoints(entry: Entry) -> list[Path]:
    """The files of runner's own in the folders of checkpoints, those of a sweep's trials too."""
    folders = [entry.path / "checkpoints", *entry.path.glob("trials/*/checkpoints")]
    found = (path for folder in folders if folder.is_dir() and not folder.is_symlink() for path in folder.iterdir())
    return [path for path in found if CHECKPOINT.fullmatch(path.name) and not path.is_symlink()]
