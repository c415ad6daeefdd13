"""The journal of a sweep: a line of JSON an event, on the disk before anything relies on it.

Every process of a sweep writes to the one file: the sweep that a trial is queued, whoever runs it that it started and
how it ended. What a crash cuts short is a last line without an end, which the next writer removes.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from runner import files
from runner.errors import UserError
from runner.store import now, to_plain
from runner.sweep.record.trial import QUEUED_KEYS, TrialRecord

LOCK = ".journal.lock"
RESUMED = "resumed"  # the event of a process that goes on with a sweep; all others are of trials
Event = Mapping[str, Any]


class Journal:
    """`journal.jsonl` of a sweep, and its trials as they stand by what has been read.

    Attributes:
        trials: every trial by number.
        counts: trials by status.
        num_alike: trials by round and signature.
        extremes: by round, the finished trials of the least and of the greatest score; of equal ones the first.
        first_failed: the first trial that failed.
        num_events: lines read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    @cached_property
    def _lock(self) -> Any:
        return files.make_lock(self.path.with_name(LOCK))

    def _forget(self) -> None:
        self.trials: dict[int, TrialRecord] = {}
        self.counts: Counter[str] = Counter()
        self.num_alike: Counter[tuple[int, str | None]] = Counter()
        self.extremes: dict[int, tuple[TrialRecord, TrialRecord]] = {}
        self.first_failed: TrialRecord | None = None
        self.num_events = 0
        self._offset = 0

    def append(self, events: Iterable[Event], create: bool = False) -> None:
        """Write events, whole, in one piece, and wait until they are on the disk. `create`: even of none."""
        text = "".join(json.dumps(to_plain({"time": now(), **event})) + "\n" for event in events)
        if not text and not create:
            return
        with self._lock, files.open_to_append(self.path) as file:
            _cut_torn_line(file)
            file.write(text.encode())
            files.sync(file)

    def refresh(self) -> list[Event]:
        """Read what has come since the last time, bring the trials up to date, and give the new events.

        Raises:
            UserError: a line is damaged.
        """
        return list(self.new_events())

    def new_events(self) -> Iterator[Event]:
        """The same one by one: at each event the trials stand as they did then."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < self._offset:  # another file has taken its place
            self._forget()
        if size == self._offset:
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            event = _parse(line, self.path, self.num_events + 1)
            if event["trial"] is not None:
                self._follow(event)
            self._offset += len(line)
            self.num_events += 1
            yield event

    def _follow(self, event: Event) -> None:
        number = event["trial"]
        trial = self.trials.get(number)
        if trial is None:
            if event["event"] != "queued":
                raise _damaged(self.path, self.num_events + 1)
            trial = self.trials[number] = TrialRecord.from_event(event)
            self.num_alike[trial.round, trial.signature] += 1
        else:
            self.counts[trial.status] -= 1
        trial.follow(event)
        self.counts[trial.status] += 1
        if trial.status == "finished" and trial.score is not None:
            least, greatest = self.extremes.get(trial.round, (trial, trial))
            least = min(least, trial, key=lambda one: (one.score or 0.0, one.trial))
            greatest = min(greatest, trial, key=lambda one: (-(one.score or 0.0), one.trial))
            self.extremes[trial.round] = least, greatest
        if trial.status == "failed":
            self.first_failed = self.first_failed or trial


@cache
def shared_journal(path: Path) -> Journal:
    """The journal of that path: one for all jobs of this process, so that none reads from the beginning."""
    return Journal(path)


def _parse(line: bytes, path: Path, number: int) -> Event:
    try:
        event: dict[str, Any] = files.parse_json(line)
        datetime.fromisoformat(event["time"])
        if not isinstance(event["event"], str) or not isinstance(event["trial"], int | None):
            raise ValueError
        if not isinstance(event.get("score"), int | float | None):
            raise ValueError
        if event["event"] == "queued":
            _ = [event[key] for key in QUEUED_KEYS]
            choices = {} if event.get("choices") is None else event["choices"]
            words = [*event["point"].values(), *choices.values()]
            whole = isinstance(event["round"], int) and all(isinstance(word, str) for word in words)
            whole = whole and isinstance(event["folder"], str) and isinstance(event.get("signature"), str | None)
            if not whole or not all(isinstance(event[key], int | None) for key in ("seed", "epochs")):
                raise ValueError
        return event
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(path, number) from None


def _damaged(path: Path, number: int) -> UserError:
    return UserError(f"{path}: line {number} is damaged; restore the file from a copy, or remove that line")


def by_process(events: Sequence[Event]) -> list[list[Event]]:
    """The events of each process that worked on the sweep; that of its going on is its first."""
    parts: list[list[Event]] = [[]]
    for event in events:
        if event["event"] == RESUMED:
            parts.append([])
        parts[-1].append(event)
    return parts


def seconds_until(events: Sequence[Event]) -> float:
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
