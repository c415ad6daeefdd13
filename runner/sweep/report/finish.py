"""The end of a sweep: its result on the disk, in the report, and at the terminal."""

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Console
from rich.markup import escape

from runner.store import SweepFolder
from runner.sweep.report.figures.draw import draw_figures
from runner.sweep.report.history import SweepHistory, read_history
from runner.sweep.report.page import REPORT, write_report
from runner.sweep.report.result import SweepResult, command_of_best, to_json
from runner.sweep.report.tensorboard import add_report
from runner.sweep.report.text import format_counts, format_estimate, format_point
from runner.sweep.strategy.plan import Plan
from runner.warnings import failure_as_warning, warn

REPORT_SECONDS = 1.2  # that the figures and the page take, most of it importing Matplotlib
REPORT_SHARE = 0.05  # of the sweep's time, which they may take


def finish(
    folder: SweepFolder,
    plan: Plan,
    shared: Sequence[str],
    report: bool | Literal["auto"] = True,
    tensorboard: bool = False,
    quiet: bool = False,
) -> SweepResult:
    """Write down the best, and print what was found, unless `quiet`.

    Args:
        shared: the overrides that all trials share.
        report: draw the figures and write the report; auto: if the sweep took long enough, or has one already.
        tensorboard: add the figures to the sweep's event file.
    """
    history = read_history(folder, plan)
    folder.update(best=to_json(history.result, folder.path))
    command = command_of_best(history.result, shared)
    if report == "auto":
        has_one = (folder.path / REPORT).exists()
        report = has_one or REPORT_SHARE * folder.record["seconds"] >= REPORT_SECONDS
    if report:
        _draw(folder, history, command, tensorboard)
    if not quiet:
        console = Console()
        for line in _lines(folder, history, command):
            console.print(line, highlight=False, soft_wrap=True)
    return history.result


def report_on(folder: SweepFolder, plan: Plan, shared: Sequence[str]) -> None:
    """Draw the figures and write the report of a sweep as far as it has come, be it under way."""
    history = read_history(folder, plan)
    _draw(folder, history, command_of_best(history.result, shared), tensorboard=False)
    Console().print(f"wrote {folder.path / REPORT}", highlight=False, markup=False, soft_wrap=True)


def _draw(folder: SweepFolder, history: SweepHistory, command: str | None, tensorboard: bool) -> None:
    """Draw the figures and write the report; what fails is warned of, for the result is safe already."""
    figures = []
    with failure_as_warning("the figures"):
        figures = draw_figures(history, folder.figures, warn)
    with failure_as_warning(REPORT):
        write_report(folder, history, figures, command)
    if tensorboard:
        with failure_as_warning("TensorBoard's figures"):
            add_report(folder, history, figures)


def _lines(folder: SweepFolder, history: SweepHistory, command: str | None) -> Iterator[str]:
    """What the terminal says at the end, with rich's markup."""
    result, metric, best = history.result, history.metric, history.result.best
    yield f"[bold]sweep[/]   {format_counts(result)}; {folder.record['seconds']:.1f} s"
    if best is None:
        yield f"[red]no trial has finished[/]; the reasons are in the journal: {escape(str(folder.journal))}"
    else:
        yield f"[bold green]best[/]    {escape(format_point(best.point))}"
        if result.finalists:
            yield f"        {metric} {format_estimate(result.finalists[0].estimate, metric)}"
        else:
            yield f"        {metric} {best.score:.4f} in trial {best.trial}, on one seed; {_without_finals(history)}"
        for finalist in result.same:
            point, mean = escape(format_point(finalist.point)), finalist.estimate.mean
            yield f"        not distinguishable from it: {point} ({mean:.4f})"
        for edge in result.edges:
            yield f"[yellow]edge[/]    {escape(edge)}; a wider range may hold a better one"
        yield f"folder  {escape(str(folder.path))}"
    has_report = (folder.path / REPORT).exists()
    if has_report:
        yield f"report  {escape(str(folder.path / REPORT))}"
    if best is not None:
        yield "next"
        yield f"  {escape(command or '')}"
        yield f"  runner compare {escape(str(folder.path))}"
        if not has_report:
            yield f"  runner report {escape(str(folder.path))}"


def _without_finals(history: SweepHistory) -> str:
    """What to do about a best that no final has confirmed."""
    if not history.plan.settings.num_finalists:
        return "sweep.num_finalists=2 says more"
    return "no final has finished"
