"""The journal of a sweep: a line of JSON an event, on the disk before anything relies on it.

Every process of a sweep writes to the one file: the sweep that a trial is queued, whoever runs it that it started and
how it ended. What a crash cuts short is a last line without an end, which the next writer removes.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.store import now, plain

RESUMED = "resumed"  # the event of a process that goes on with a sweep; all others are of trials
ENDED = ("finished", "failed", "diverged", "stopped")


@dataclass
class Standing:
    """How a trial stands, by the journal."""

    trial: int
    round: int
    overrides: list[str]
    folder: str
    epochs: int | None
    status: str = "queued"  # queued, started, paused, finished, failed, diverged or stopped
    score: float | None = None
    half_score: float | None = None  # at the pause in the middle, with halving
    choices: dict[str, str] = field(default_factory=dict)
    shape: str | None = None  # trials of one shape may train together
    starts: int = 0
    seconds: float = 0.0
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def reason(self) -> str:
        """The error in one line: of a traceback, the exception with the first line of what it says."""
        lines = (self.error or "").strip().splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        if starts:
            lines = [line for line in lines[starts[-1] + 1 :] if line[:1] not in (" ", "")]
        return lines[0] if lines else "no reason given"


class Journal:
    """`journal.jsonl` of a sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Write events, whole, in one piece, and wait until they are on the disk."""
        text = "".join(json.dumps(plain({"time": now(), **event})) + "\n" for event in events)
        if not text:
            return
        with self.path.open("a+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            _cut_torn_line(file)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The events from a byte on, and the byte after them.

        Raises:
            UserError: a line is damaged.
        """
        if not self.path.exists():
            return [], 0
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        return [self._event(line) for line in whole.splitlines()], offset + len(whole)

    def _event(self, line: bytes) -> dict[str, Any]:
        try:
            event: dict[str, Any] = json.loads(line)
            _ = event["trial"], event["event"]  # both are in every line
            return event
        except (ValueError, TypeError, KeyError):
            number = self.path.read_bytes().splitlines().index(line) + 1
            raise UserError(
                f"{self.path}: line {number} is damaged; restore the file from a copy, or remove that line"
            ) from None

    def standings(self) -> dict[int, Standing]:
        """Every trial by number."""
        return follow({}, self.read()[0])


def follow(standings: dict[int, Standing], events: Sequence[Mapping[str, Any]]) -> dict[int, Standing]:
    """The standings after more events; changes and returns what it is given."""
    for event in events:
        number = event["trial"]
        if number is None:  # of the sweep, not of a trial
            continue
        if event["event"] == "queued":
            about = {key: event[key] for key in ("round", "overrides", "folder", "epochs")}
            about |= {"choices": event.get("choices", {}), "shape": event.get("shape")}
            standings.setdefault(number, Standing(number, **about))
        trial = standings[number]
        trial.status = event["event"]
        trial.starts += event["event"] == "started"
        trial.seconds += event.get("seconds") or 0.0
        if trial.status == "paused":
            trial.half_score = event.get("score")
        trial.score = event.get("score") if event.get("score") is not None else trial.score
        trial.error = event.get("error", trial.error)
    return standings


def by_process(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The events of each process that worked on the sweep; that of its going on is its first."""
    parts: list[list[Mapping[str, Any]]] = [[]]
    for event in events:
        if event["event"] == RESUMED:
            parts.append([])
        parts[-1].append(event)
    return parts


def seconds_until(events: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that the sweep had run at the last event, by the times of the journal, which are whole seconds."""
    latest = by_process(events)[-1]
    began, last = (datetime.fromisoformat(event["time"]) for event in (latest[0], latest[-1]))
    return float(latest[0].get("seconds_before") or 0.0) + max(0.0, (last - began).total_seconds())


def _cut_torn_line(file: Any) -> None:
    """Remove an unfinished last line, which a crash left."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
