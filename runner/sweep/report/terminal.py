"""What the person at the terminal sees while a sweep runs, read from the journal and the trials' own files."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from runner.files import parse_json
from runner.store import SweepFolder
from runner.sweep.record.journal import Event, Journal
from runner.sweep.record.rounds import Round, name, read_rounds
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.report.text import describe_round, format_epochs, format_point
from runner.sweep.strategy.plan import Plan

POLL_SECONDS = 0.3
MAX_RUNNING, MAX_BEST, MAX_FAILED = 8, 5, 4  # trials listed
COLORS = {"finished": "green", "failed": "red", "diverged": "yellow", "pruned": "dim", "waiting": "cyan"}


@contextmanager
def progress(folder: SweepFolder, plan: Plan, mode: str) -> Iterator[None]:
    """Show the sweep while the block runs. `mode`: live, lines, none, or auto (live at a terminal, else lines)."""
    console = Console()
    if mode == "auto":
        mode = "live" if console.is_terminal else "lines"
    if mode == "none":
        yield
        return
    shown = SweepProgress(folder, plan, mode, console)
    shown.start()
    try:
        yield
    finally:
        shown.close()


class SweepProgress:
    """Follows the journal in a thread of its own, and shows it.

    Args:
        mode: `live`, a table that is redrawn, or `lines`, one for each trial that ends.
    """

    def __init__(self, folder: SweepFolder, plan: Plan, mode: str, console: Console) -> None:
        self.folder = folder
        self.plan = plan
        self.mode = mode
        self.console = console
        self.journal = Journal(folder.journal)
        self.latest_round = -1
        self.best: float | None = None  # of the finished trials so far
        self.failure_shown = False
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.live = Live(console=console, auto_refresh=False, transient=True) if mode == "live" else None

    def start(self) -> None:
        self.journal.refresh()
        trials = self.journal.trials.values()
        if trials:
            num_ended = sum(trial.ended for trial in trials)
            ranked = rank(trials, self.plan.objective)
            self.best = ranked[0].score if ranked else None
            self._say(f"going on: {num_ended} of {len(trials)} queued trials have ended")
        if self.live:
            self.live.start()
        self.thread.start()

    def close(self) -> None:
        self.ending.set()
        self.thread.join()
        self.poll()
        if self.live:
            self.live.stop()

    def _follow(self) -> None:
        while not self.ending.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Show what the journal has had since the last time."""
        for event in self.journal.new_events():
            if event["trial"] is not None:
                self._tell(event)
        if self.live:
            self.live.update(self.render(), refresh=True)

    @property
    def rounds(self) -> list[Round]:
        return read_rounds(self.folder.record["rounds"])

    def _tell(self, event: Event) -> None:
        """Print what deserves a line that stays: a new round, the end of a trial, the first failure in full."""
        if event["event"] == "queued" and event["round"] != self.latest_round:
            self.latest_round = event["round"]
            rounds = self.rounds
            self._say(f"[bold]{escape(describe_round(rounds[event['round']], rounds))}[/]")
            for note in rounds[event["round"]].notes:
                self._say(f"  {escape(note)}")
        if event["event"] == "failed" and not self.failure_shown:
            self.failure_shown = True
            self._say(f"[red]trial {event['trial']} failed[/]\n{escape((event.get('error') or '').rstrip())}")
        if self.mode == "lines" and event["event"] in COLORS:
            score = event.get("score")
            if event["event"] == "finished" and score is not None and self.plan.objective.better(score, self.best):
                self.best = score
            so_far = "" if self.best is None else f"  best so far {self.best:.4f}"
            self._say(f"  {_line(self.journal.trials[event['trial']])}{so_far}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def render(self) -> RenderableType:
        """The live table: rounds, running trials, the best so far, failures."""
        trials = list(self.journal.trials.values())
        rounds = self.rounds
        parts: list[RenderableType] = [_round(name(round_, rounds), round_, trials) for round_ in rounds]
        running = [trial for trial in trials if trial.status == "started"]
        if running:
            parts.append(self._running(running[:MAX_RUNNING], len(running)))
        best = rank(trials, self.plan.objective)[:MAX_BEST]
        if best:
            parts.append(_block("best so far", best))
        failed = [trial for trial in trials if trial.status in ("failed", "diverged")]
        if failed:
            parts.append(_block(f"failed or diverged: {len(failed)}", failed[-MAX_FAILED:]))
        return Group(*parts)

    def _running(self, trials: list[TrialRecord], count: int) -> Table:
        table = _block(f"running: {count}")
        for trial in trials:
            metrics = _run_record(self.folder, trial).get("metrics") or {}
            epoch = metrics.get("epoch", 0)
            score = metrics.get(self.plan.objective.name)
            bar = ProgressBar(total=trial.epochs or 1, completed=epoch, width=16)
            shown = "" if score is None else f"{score:.4f}"
            table.add_row(f"trial {trial.trial}", bar, f"epoch {epoch}/{trial.epochs}  {shown}", escape(_words(trial)))
        return table


def _round(title: str, round_: Round, trials: list[TrialRecord]) -> Table:
    own = [trial for trial in trials if trial.round == round_.index]
    num_ended = sum(trial.ended for trial in own)
    epochs = f" of {format_epochs(round_)}" if round_.epochs else ""
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(1, len(own)), completed=num_ended, width=24)
    line.add_row(f"{title:<8}", bar, f"{num_ended}/{len(own)} trials{epochs}")
    return line


def _block(title: str, trials: Sequence[TrialRecord] = ()) -> Table:
    """A title with a line for each of the trials beneath."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="dim", show_header=False)
    for trial in trials:
        table.add_row(_line(trial))
    return table


def _line(trial: TrialRecord) -> str:
    color = COLORS.get(trial.status, "white")
    score = f" {trial.score:.4f}" if trial.score is not None and trial.status not in ("failed", "diverged") else ""
    reason = f"  ({escape(trial.reason)})" if trial.error and trial.status != "finished" else ""
    return f"trial {trial.trial:<3} [{color}]{trial.status}[/]{score}  {escape(_words(trial))}{reason}"


def _words(trial: TrialRecord) -> str:
    seed = "" if trial.seed is None else f" seed={trial.seed}"
    return format_point(trial.point) + seed


def _run_record(folder: SweepFolder, trial: TrialRecord) -> dict[str, Any]:
    try:
        record = parse_json((folder.trial(trial.trial) / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
