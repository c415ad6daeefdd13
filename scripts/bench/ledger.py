"""Rows that are written as soon as they are measured, and the time that is left for more."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]
TABLE = "gpu"


class Ledger:
    """The rows of a file in the format of the other tables. A file that exists is gone on with.

    Rows with `skipped` or `error` are dropped when the file is opened, so that their cases are measured again.

    Args:
        path: the JSON file.
        seconds: what there is to spend from now on.
        about: what the file says besides its rows.
    """

    def __init__(self, path: Path, seconds: float, about: Row) -> None:
        self.path = path
        self._end = time.monotonic() + seconds
        self._about = about
        self.rows: list[Row] = []
        if path.exists():
            stored = json.loads(path.read_text())
            if _kind(stored) != _kind(about):
                sys.exit(f"{path}: its rows are of another machine or of --quick; name a new file for --output")
            self.rows = [row for row in stored["tables"][TABLE] if "skipped" not in row and "error" not in row]

    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def has(self, part: str, case: str) -> bool:
        return any((row["part"], row["case"]) == (part, case) for row in self.rows)

    def add(self, part: str, case: str, rows: list[Row]) -> None:
        """Append the rows of a case and write the file; a reader never sees half of it."""
        self.rows += [{"part": part, "case": case, **row} for row in rows]
        fresh = self.path.with_name(self.path.name + ".tmp")
        fresh.write_text(json.dumps({**self._about, "tables": {TABLE: self.rows}}, indent=1) + "\n")
        os.replace(fresh, self.path)  # noqa: PTH105


def _kind(about: Row) -> tuple[object, bool]:
    """What must be the same for rows to stand in one file: the machine, and whether the figures mean anything."""
    return about["hardware"], "--quick" in about["command"].split()
