"""The end of a sweep: its status on the disk, its result in words, its pictures."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from runner import store
from runner.errors import Interrupted
from runner.store import SweepFolder
from runner.sweep.record.journal import RESUMED, Journal, seconds_until
from runner.sweep.report import result as outcomes
from runner.sweep.report.figures.figures import draw
from runner.sweep.report.history import Course, read_course
from runner.sweep.report.page import REPORT, write_report
from runner.sweep.report.result import Outcome
from runner.sweep.report.tensorboard import add_pictures
from runner.sweep.report.terminal import warn, warned
from runner.sweep.space.space import Point
from runner.sweep.strategy.plan import Plan

CLOCK_SECONDS = 2.0  # that times of the journal, which are whole seconds, may be off


@contextmanager
def noted(folder: SweepFolder) -> Iterator[None]:
    """Keep the status of the sweep right, however the block ends, and let the folder go."""
    began, before = time.perf_counter(), float(folder.record["seconds"])
    journal = Journal(folder.journal)
    events, _ = journal.read()
    if events:
        told = seconds_until(events)
        before = told if told > before + CLOCK_SECONDS else before  # a process that was killed noted nothing
        journal.append([{"event": RESUMED, "trial": None, "seconds_before": before}])
    status = "failed"
    try:
        yield
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        again = f"runner resume {shlex.quote(str(folder.path))}"
        Console().print(f"interrupted; go on with: {again}", highlight=False, soft_wrap=True)
        raise
    finally:
        seconds = round(before + time.perf_counter() - began, 3)
        folder.update(status=status, finished=store.now(), seconds=seconds)
        folder.unlock()


def conclude(
    folder: SweepFolder,
    plan: Plan,
    fixed: Sequence[str],
    report: bool = True,
    tensorboard: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Write down the best, and say what was found, unless `quiet`.

    `report`: draw the pictures and write the report; `tensorboard`: add the pictures to the sweep's summary.
    """
    course = read_course(folder, plan)
    outcome = course.outcome
    folder.update(best=outcomes.record(outcome, folder))
    command = outcomes.command(outcome, fixed)
    if report:
        _show(folder, course, command, tensorboard)
    if not quiet:
        _say(Console(), folder, outcome, command)
    return outcome


def _show(folder: SweepFolder, course: Course, command: str | None, tensorboard: bool) -> None:
    """Draw the pictures and write the report; what fails is warned of, for the result is safe already."""
    pictures = []
    with warned("the pictures"):
        pictures = draw(course, folder.figures, warn)
    with warned(REPORT):
        write_report(folder, course, pictures, command)
    if tensorboard:
        with warned("TensorBoard's pictures"):
            add_pictures(folder, pictures, len(course.ends))


def _say(console: Console, folder: SweepFolder, outcome: Outcome, command: str | None) -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    counts = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    say(f"[bold]sweep[/]   {counts}; {folder.record['seconds']:.1f} s")
    best, name = outcome.best, folder.record["objective"]["name"]
    if best is None:
        say("[red]no trial has finished[/]; the reasons are in the journal: " + escape(str(folder.journal)))
        _say_report(say, folder)
        return
    if outcome.finals:
        winner = outcome.finals[0]
        say(f"[bold green]best[/]    {escape(_shown(winner.point))}")
        say(f"        {name} {how_sure(outcome, name)}")
    else:
        say(f"[bold green]best[/]    {escape(_shown(_point(best.overrides)))}")
        say(f"        {name} {best.score:.4f} in trial {best.trial}, of one seed: sweep.finals=2 would say how sure")
    for setting in outcome.same:
        say(f"        not to be told apart from it: {escape(_shown(setting.point))} ({setting.estimate.mean:.4f})")
    for note in outcome.notes:
        say(f"edge    {escape(note)}")
    for edge in outcome.edges:
        say(f"[yellow]edge[/]    {escape(edge)}; a wider range may hold a better one")
    say(f"folder  {escape(str(folder.path))}")
    _say_report(say, folder)
    say("next")
    say(f"  {escape(command or '')}")
    say(f"  runner compare {escape(str(folder.path))}")


def _say_report(say: Callable[[str], None], folder: SweepFolder) -> None:
    if (folder.path / REPORT).exists():
        say(f"report  {escape(str(folder.path / REPORT))}")


def how_sure(outcome: Outcome, metric: str = "") -> str:
    """The winner's score with its interval, in words, within what the metric can be."""
    least = 0.0 if metric.endswith(("accuracy", "loss")) else -math.inf
    most = 1.0 if metric.endswith("accuracy") else math.inf
    estimate = outcome.finals[0].estimate
    if estimate.n < 2:
        return f"{estimate.mean:.4f} on one seed, which says nothing of how sure it is"
    if estimate.deviation == 0:
        return f"{estimate.mean:.4f} on each of {estimate.n} fresh seeds, too alike to say how sure it is"
    low, high = (min(max(bound, least), most) for bound in (estimate.low, estimate.high))
    return f"{estimate.mean:.4f} (95% interval {low:.4f} to {high:.4f}) over {estimate.n} fresh seeds"


def _shown(point: Point) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items())


def _point(words: Sequence[Any]) -> Point:
    pairs = (str(word).partition("=") for word in words)
    return {key: value for key, _, value in pairs if key not in outcomes.NOT_REPEATED}
