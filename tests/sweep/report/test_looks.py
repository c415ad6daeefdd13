"""The screen and the page of a sweep look as they did when they were last looked at."""

import io
import json

import pytest
from rich.console import Console

from runner.formatting import WorkClock
from runner.sweep.report.figures.draw import ReportFigure
from runner.sweep.report.page import report
from runner.sweep.report.terminal import SweepProgress
from tests.looks import page_of


@pytest.fixture
def watched(monkeypatch):
    """`watched(sweep, "lines", 120)`: all that the display of a sweep says, and at last its live table."""
    monkeypatch.setattr(WorkClock, "elapsed", lambda self: "0:07")
    monkeypatch.setattr(WorkClock, "left", lambda self, work: f"{work:g} epochs left")

    def watch(sweep, mode, width):
        out = io.StringIO()
        console = Console(file=out, width=width, color_system=None, force_terminal=False)
        shown = SweepProgress(sweep.folder, sweep.plan, mode, console)
        shown.poll()
        console.print(shown.render())
        return out.getvalue()

    return watch


@pytest.mark.parametrize("name", ["two_rounds", "lengthened", "options"])
@pytest.mark.parametrize(("mode", "width"), [("lines", 140), ("live", 70)])
def test_the_screen_looks_as_it_did(request, watched, looks, name, mode, width):
    looks(f"sweep/{name}/screen_{mode}", watched(request.getfixturevalue(name), mode, width))


def test_the_screen_while_trials_run_looks_as_it_did(two_rounds, watched, looks):
    lines = two_rounds.folder.journal.read_text().splitlines()
    begun = [json.loads(line) for line in lines][-1]
    running = [
        {**begun, "trial": number, "event": event, "score": None, "error": None}
        for number in range(11, 16)
        for event in ("queued", "started")
    ]
    two_rounds.folder.journal.write_text("\n".join([*lines, *map(json.dumps, running)]) + "\n")
    for number, epoch in ((11, 1), (12, 0)):
        folder = two_rounds.folder.trial(number)
        folder.mkdir(parents=True)
        metrics = {"epoch": epoch, "val/accuracy": 0.5 + epoch / 10} if epoch else {}
        (folder / "run.json").write_text(json.dumps({"metrics": metrics}))
    looks("sweep/two_rounds/screen_running", watched(two_rounds, "live", 100))


@pytest.mark.parametrize("name", ["two_rounds", "lengthened", "options"])
def test_the_page_looks_as_it_did(request, looks, name):
    sweep = request.getfixturevalue(name)
    sweep.folder.update(started="2026-01-01T00:00:00", seconds=90.0)
    figures = [ReportFigure("search_space", "How to read it.", b"png"), ReportFigure("slice", "", reason="too few")]
    looks(f"sweep/{name}/page", page_of(report(sweep.folder, sweep.history, figures, "runner train optimizer.lr=0.02")))
