"""Runs and sweeps as folders: which there are, how they stand, and what they take. Trials belong to their sweep."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runner import files
from runner.errors import UserError
from runner.store.annotations import read_annotations
from runner.store.run_folder import LOCK, RUN, read_record
from runner.store.sweep_folder import SWEEP

RECORDS = {RUN: "run", SWEEP: "sweep"}


@dataclass(frozen=True)
class Entry:
    """A run or a sweep on disk; `record` is the content of its JSON."""

    path: Path
    kind: str
    record: dict[str, Any]

    @cached_property
    def status(self) -> str:
        """As its record has it; killed, where it says running and no process holds the folder."""
        stored = str(self.record["status"])
        return "killed" if stored == "running" and not is_locked(self.path) else stored

    @property
    def best(self) -> float | None:
        """The best value of the objective; of a sweep, the best score."""
        about = self.record.get("objective" if self.kind == "run" else "best")
        value = about.get("value" if self.kind == "run" else "score") if isinstance(about, dict) else None
        return float(value) if isinstance(value, int | float) else None

    @cached_property
    def num_bytes(self) -> int:
        """Of all of its files."""
        return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(self.path) for name in names)  # noqa: PTH118

    @cached_property
    def annotations(self) -> tuple[list[str], str]:
        """Tags and note."""
        return read_annotations(self.path)


def find_entries(root: Path) -> Iterator[Entry]:
    """The runs and sweeps in and under a folder; a damaged one is left out."""
    for at, below, names in os.walk(root):
        below.sort()
        file = next((name for name in RECORDS if name in names), None)
        if file is not None:
            below.clear()
            try:
                yield Entry(Path(at), RECORDS[file], read_record(Path(at), file))
            except (UserError, FileNotFoundError):
                continue


def entry_at(path: Path) -> Entry:
    """The run or sweep in a folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    for file, kind in RECORDS.items():
        if (path / file).is_file():
            return Entry(path, kind, read_record(path, file))
    raise UserError(f"{path}: no run and no sweep; name one by its path, last, its number or a part of its name")


def is_locked(path: Path) -> bool:
    """Whether a process works in a folder."""
    if not (path / LOCK).exists():
        return False
    lock = files.make_lock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except TimeoutError:
        return True
    lock.release()
    return False
