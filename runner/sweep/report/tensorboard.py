"""A sweep's own event file for TensorBoard: the scores as trials end, and the figures."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from runner.errors import is_full_disk
from runner.log.event_files import EventWriter, remove_event_files
from runner.log.texts import table
from runner.objective import Objective
from runner.store import SweepFolder
from runner.sweep.record.journal import Event, Journal
from runner.sweep.record.trial import ENDED
from runner.sweep.report.figures.draw import ReportFigure
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import trial_cells, trial_headings
from runner.warnings import failure_as_warning

POLL_SECONDS = 1.0
MOST_TRIALS = 1000  # in the table


class SweepScalars:
    """Writes `sweep/score` and `sweep/best` against the number of trials that have ended.

    Everything is written anew from the journal, in place of what an earlier process wrote, so that no step is double.
    """

    def __init__(self, folder: SweepFolder, objective: Objective) -> None:
        self.folder = folder
        self.objective = objective
        self.journal = Journal(folder.journal)
        self.ended: set[int] = set()
        self.best: float | None = None
        self.writer: Any = None

    def poll(self) -> None:
        """Follow what the journal has had since the last time."""
        self.follow(self.journal.refresh())

    def follow(self, events: Sequence[Event]) -> None:
        """Write the scores of the trials that end by these events."""
        for event in events:
            if event["event"] not in ENDED or event["trial"] in self.ended:
                continue
            self.ended.add(event["trial"])
            score = event.get("score")
            moment = datetime.fromisoformat(event["time"]).timestamp()
            if event["event"] == "finished" and score is not None:
                self.best = score if self.objective.better(score, self.best) else self.best
                self._write("sweep/score", score, moment)
            if self.best is not None:
                self._write("sweep/best", self.best, moment)
        if self.writer is not None:
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _write(self, name: str, value: float, moment: float) -> None:
        if self.writer is None:
            remove_event_files(self.folder.path)
            self.writer = EventWriter(self.folder.path)
        self.writer.add_scalar(name, value, len(self.ended), moment)


@contextmanager
def writing_scalars(folder: SweepFolder, objective: Objective, wanted: bool) -> Iterator[None]:
    """Write the scalars while the block runs, in a thread of its own; do nothing where they are not wanted."""
    if not wanted:
        yield
        return
    scalars = SweepScalars(folder, objective)
    ending = threading.Event()
    failures: list[Exception] = []

    def follow() -> None:
        try:
            while not ending.wait(POLL_SECONDS):
                scalars.poll()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=follow, name="sweep-tensorboard", daemon=True)
    thread.start()
    is_full = False
    try:
        yield
    except OSError as error:
        is_full = is_full_disk(error)
        raise
    finally:
        ending.set()
        thread.join()
        if not is_full:  # which the sweep says itself
            with failure_as_warning("TensorBoard's scalars"):
                if failures:
                    raise failures[0]
                scalars.poll()
                scalars.close()


def add_report(folder: SweepFolder, history: SweepHistory, figures: Sequence[ReportFigure]) -> None:
    """Add the table of trials, the best first, and the figures, at the number of trials that have ended."""
    if not history.trials:
        return
    step, order = len(history.ends), history.plan.objective.order
    writer = EventWriter(folder.path)
    trials = sorted(history.trials, key=lambda trial: math.inf if trial.score is None else order(trial.score))
    cells = [trial_cells(history, trial) for trial in trials[:MOST_TRIALS]]
    writer.add_text("sweep/trials", table(trial_headings(history), cells), step)
    for figure in figures:
        if figure.png is not None:
            writer.add_png(f"sweep/{figure.name}", figure.png, step)
    writer.close()
