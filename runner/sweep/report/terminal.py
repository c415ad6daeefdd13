"""What the person at the terminal sees while a sweep runs, read from the journal and the trials' own files."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runner.files import parse_json
from runner.formatting import WorkClock
from runner.store import SweepFolder
from runner.sweep.record.journal import Event, Journal
from runner.sweep.record.rounds import Round, name, read_rounds
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.report.text import describe_round, format_epochs, format_point
from runner.sweep.strategy.plan import Plan
from runner.sweep.strategy.remaining import epochs_left

POLL_SECONDS = 0.3
LINE_SECONDS = 30.0  # from one line on the whole sweep to the next
MAX_RUNNING, MAX_BEST, MAX_FAILED = 8, 3, 4  # trials listed
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
        self.failure_shown = False
        self.best: dict[int, TrialRecord] = {}  # of each round so far
        self.clock = WorkClock(self._epochs_left())
        self.told = time.monotonic()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.live = Live(console=console, auto_refresh=False, transient=True) if mode == "live" else None

    def start(self) -> None:
        self.journal.refresh()
        trials = self.journal.trials.values()
        if trials:
            num_ended = sum(trial.ended for trial in trials)
            for trial in trials:
                self._judge(trial)
            self.clock = WorkClock(self._epochs_left())
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
        elif time.monotonic() - self.told >= LINE_SECONDS:
            self.told = time.monotonic()
            num_ended = sum(trial.ended for trial in self.journal.trials.values())
            self._say(f"  {num_ended} of {len(self.journal.trials)} queued trials have ended  {self._time()}")

    def _epochs_left(self, fraction: float = 0.0) -> float:
        return epochs_left(self.plan, self.rounds, self.journal.trials.values(), fraction)

    def _time(self, fraction: float = 0.0) -> str:
        """How long it has taken so far, and how long the rest takes; `fraction` of the running trials is trained."""
        return "  ".join(filter(None, [self.clock.elapsed(), self.clock.left(self._epochs_left(fraction))]))

    def _judge(self, trial: TrialRecord) -> None:
        """Remember the trial if it is the best of its round so far."""
        if trial.status == "finished" and trial.score is not None:
            best = self.best.get(trial.round)
            if best is None or self.plan.objective.better(trial.score, best.score):
                self.best[trial.round] = trial

    def _best(self, round_: int) -> list[tuple[str, TrialRecord]]:
        """The best trial of that round and the best of all trials at full length, which may be one."""
        of_round = self.best.get(round_)
        full = rank((trial for trial in self.best.values() if trial.epochs == self.plan.epochs), self.plan.objective)
        if full and full[0] is of_round:
            return [("best so far", full[0])]
        found = [] if of_round is None else [(f"best of {self._name(round_)}", of_round)]
        return found + [("best at full length", trial) for trial in full[:1]]

    def _name(self, round_: int) -> str:
        rounds = self.rounds
        return name(rounds[round_], rounds)

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
            trial = self.journal.trials[event["trial"]]
            self._judge(trial)
            so_far = ", ".join(f"{words} {best.score:.4f}" for words, best in self._best(trial.round))
            self._say(f"  {_line(trial)}{'  ' if so_far else ''}{so_far}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def render(self) -> RenderableType:
        """The live table: rounds, running trials, the best of the round and at full length, failures, the time."""
        trials = list(self.journal.trials.values())
        rounds = self.rounds
        parts: list[RenderableType] = [_round(name(round_, rounds), round_, trials) for round_ in rounds]
        running = [trial for trial in trials if trial.status == "started"]
        fraction = 0.0
        if running:
            table, fraction = self._running(running[:MAX_RUNNING], len(running))
            parts.append(table)
        for title, best in self._leaders(trials, rounds):
            parts.append(_block(title, best[:MAX_BEST]))
        failed = [trial for trial in trials if trial.status in ("failed", "diverged")]
        if failed:
            parts.append(_block(f"failed or diverged: {len(failed)}", failed[-MAX_FAILED:]))
        parts.append(Text(self._time(fraction), style="dim"))
        return Group(*parts)

    def _leaders(self, trials: list[TrialRecord], rounds: list[Round]) -> list[tuple[str, list[TrialRecord]]]:
        """The best trials of the latest round that has any, and of all at full length, which may be the same."""
        ranked = rank(trials, self.plan.objective)
        if not ranked:
            return []
        latest = max(trial.round for trial in ranked)
        of_round = [trial for trial in ranked if trial.round == latest]
        full = [trial for trial in ranked if trial.epochs == self.plan.epochs]
        if full == of_round:
            return [("best so far", full)]
        found = [(f"best of {name(rounds[latest], rounds)}", of_round)]
        return found + ([("best at full length", full)] if full else [])

    def _running(self, trials: list[TrialRecord], count: int) -> tuple[Table, float]:
        """The trials with their epochs, and the part of these that is trained."""
        table = _block(f"running: {count}")
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")  # the digits of a point are never cut
        fractions = []
        for trial in trials:
            metrics = _run_record(self.folder, trial).get("metrics") or {}
            epoch = metrics.get("epoch", 0)
            score = metrics.get(self.plan.objective.name)
            fractions.append(epoch / (trial.epochs or 1))
            bar = ProgressBar(total=trial.epochs or 1, completed=epoch, width=16)
            shown = "" if score is None else f"{score:.4f}"
            table.add_row(f"trial {trial.trial}", bar, f"epoch {epoch}/{trial.epochs}  {shown}", escape(_words(trial)))
        return table, sum(fractions) / len(fractions)


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
