"""Kills main processes and workers of sweeps at random moments, until the time is over, and counts what is lost.

Each sweep is killed once or twice, gone on with at once or after some seconds, and in the end held to the undisturbed
one.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from torture.facts import Facts, compare, facts_of_sweep
from torture.harness import Options, Process, Row, Torture, single
from torture.twice import LAUNCHERS, SWEEP, processes_of

SECONDS = 600.0  # where no time is given
WHOM = ("the main process", "a worker", "both")
PAUSES = (0.0, 3.0)
MAX_KILLS = 2  # of the processes of one trial; the third start that dies is a failure by design


def torture(options: Options) -> Iterator[Row]:
    """A row for each launcher. They share the time."""
    options.seconds = options.seconds or SECONDS
    for name, words in LAUNCHERS.items():
        row = Torture(f"random kills, {name}", options, 1 / len(LAUNCHERS))
        if not row.is_wanted:
            continue
        sweep = Sweep([*SWEEP, *words])
        draws = options.random(name)
        if row.case("undisturbed", sweep.undisturbed):
            row.cases(attempts(sweep, draws, name))
        yield row.row


def attempts(sweep: "Sweep", draws: random.Random, launcher: str) -> Iterator[tuple[str, Callable[[Path], object]]]:
    has_workers = launcher in ("worker processes", "joblib")
    while True:
        whom = [draws.choice(WHOM if has_workers else WHOM[:1]) for _ in range(draws.randint(1, MAX_KILLS))]
        moments = [draws.random() for _ in whom]
        pause = draws.choice(PAUSES)
        kills = list(zip(whom, moments, strict=True))
        about = ", ".join(f"{who} at {moment:.2f}" for who, moment in kills)
        yield f"{about}, gone on with after {pause:g} s", partial(sweep.killed, kills, pause)


class Sweep:
    """A sweep that is killed now and then, and what comes of it undisturbed."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.expected: Facts = {}
        self.seconds = 0.0

    def undisturbed(self, folder: Path) -> None:
        began = time.monotonic()
        Process(folder, "sweep", *self.words).wait().expect(0)
        self.seconds = time.monotonic() - began
        self.expected = facts_of_sweep(single(folder.glob("outputs/it/*")))

    def killed(self, kills: list[tuple[str, float]], pause: float, folder: Path) -> None:
        """Begin it, kill at each of the moments, which are shares of its time, and go on to the end."""
        process = self._begin(folder)
        for whom, moment in kills:
            deadline = time.monotonic() + moment * self.seconds
            while not process.ended and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.ended:
                break
            kill(whom, process)
            if whom != "a worker":
                process.wait()
                time.sleep(pause)
                process = self._begin(folder)
        if process.wait().status != 0 or not _is_finished(folder):
            self._begin(folder).wait().expect(0)
        compare(self.expected, facts_of_sweep(single(folder.glob("outputs/it/*"))))

    def _begin(self, folder: Path) -> Process:
        """The sweep, or where its folder has a record, its going on; a folder without one is no sweep yet."""
        for path in folder.glob("outputs/it/*"):
            if (path / "sweep.json").exists():
                return Process(folder, "resume", path.relative_to(folder))
            path.rename(folder / f"no-sweep-yet-{path.name}")
        return Process(folder, "sweep", *self.words)


def kill(whom: str, process: Process) -> None:
    """Kill the main process, a process that trains for it, or one after the other."""
    if whom != "the main process":
        with suppress(psutil.Error, IndexError):
            workers = [one for one in processes_of(process.pid) if one.pid != process.pid and _trains(one)]
            os.kill(workers[-1].pid, signal.SIGKILL)
    if whom != "a worker":
        os.kill(process.pid, signal.SIGKILL)


def _trains(process: psutil.Process) -> bool:
    """Whether it is a worker, not a helper such as the server that workers fork from, or a tracker of resources."""
    words = " ".join(process.cmdline())
    return "resource_tracker" not in words and not process.children()


def _is_finished(folder: Path) -> bool:
    record = json.loads((single(folder.glob("outputs/it/*")) / "sweep.json").read_text())
    return record["status"] == "finished"
