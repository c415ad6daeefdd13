"""What the person at the terminal sees while a sweep runs, read from the journal and the trials' own files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from runner.store import SweepFolder
from runner.sweep.record.journal import Journal, Standing, follow
from runner.sweep.strategy.plan import Plan, Record, number_of, rank

POLL_SECONDS = 0.3
SHOWN_RUNNING, SHOWN_BEST, SHOWN_FAILED = 8, 5, 4
COLOURS = {"finished": "green", "failed": "red", "diverged": "yellow", "stopped": "dim", "paused": "cyan"}


def warn(text: str) -> None:
    """Say what the user should know, at once."""
    Console(stderr=True).print(f"[yellow]warning:[/] {escape(text)}", highlight=False, soft_wrap=True)


@contextmanager
def warned(what: str) -> Iterator[None]:
    """Let a failure of what only shows the sweep be a warning: it must never cost the result."""
    try:
        yield
    except Exception as error:
        warn(f"{what} could not be written ({type(error).__name__}: {error})")


@contextmanager
def watching(folder: SweepFolder, plan: Plan, mode: str) -> Iterator[None]:
    """Show the sweep while the block runs. `mode`: live, lines, none, or auto."""
    console = Console()
    if mode == "auto":
        mode = "live" if console.is_terminal else "lines"
    watcher = Watcher(folder, plan, mode, console)
    watcher.start()
    try:
        yield
    finally:
        watcher.close()


class Watcher:
    """Follows the journal in a thread of its own, and shows it."""

    def __init__(self, folder: SweepFolder, plan: Plan, mode: str, console: Console) -> None:
        self.folder = folder
        self.plan = plan
        self.mode = mode
        self.console = console
        self.journal = Journal(folder.journal)
        self.standings: dict[int, Standing] = {}
        self.offset = 0
        self.round_shown = -1
        self.failed_shown = False
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.live = Live(console=console, auto_refresh=False, transient=True) if mode == "live" else None

    def start(self) -> None:
        events, self.offset = self.journal.read()
        follow(self.standings, events)
        if self.mode != "none":
            if self.standings:
                ended = sum(trial.ended for trial in self.standings.values())
                self._say(f"going on: {ended} of {len(self.standings)} queued trials have ended")
            if self.live:
                self.live.start()
            self.thread.start()

    def close(self) -> None:
        self.ending.set()
        if self.thread.is_alive():
            self.thread.join()
        self._poll()
        if self.live:
            self.live.stop()

    def _follow(self) -> None:
        while not self.ending.wait(POLL_SECONDS):
            self._poll()

    def _poll(self) -> None:
        if self.mode == "none":
            return
        events, self.offset = self.journal.read(self.offset)
        for event in events:
            follow(self.standings, [event])
            if event["trial"] is not None:
                self._tell(event)
        if self.live:
            self.live.update(self._picture(), refresh=True)

    def _tell(self, event: dict[str, Any]) -> None:
        """What deserves a line that stays: a new round, the end of a trial, the first failure in full."""
        if event["event"] == "queued" and event["round"] != self.round_shown:
            self.round_shown = event["round"]
            rounds = self.folder.record["rounds"]
            record = rounds[event["round"]]
            self._say(f"[bold]{escape(describe_round(record, rounds))}[/]")
            for note in record["notes"]:
                self._say(f"  {escape(note)}")
        if event["event"] == "failed" and not self.failed_shown:
            self.failed_shown = True
            self._say(f"[red]trial {event['trial']} failed[/]\n{escape((event.get('error') or '').rstrip())}")
        if self.mode == "lines" and event["event"] in COLOURS:
            trial = self.standings[event["trial"]]
            best = rank(list(self.standings.values()), self.plan.mode)
            so_far = f"  best so far {best[0].score:.4f}" if best and best[0].score is not None else ""
            self._say(f"  {_line(trial)}{so_far}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    # -----------------------------------------------------------------------------------------------------------------

    def _picture(self) -> RenderableType:
        trials = list(self.standings.values())
        parts: list[RenderableType] = []
        rounds = self.folder.record["rounds"]
        for record in rounds:
            own = [trial for trial in trials if trial.round == record["index"]]
            ended = sum(trial.ended for trial in own)
            line = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=max(1, len(own)), completed=ended, width=24)
            done = f"{ended}/{len(own)} trials of {_count(record['epochs'], 'epoch')}"
            line.add_row(f"{name_of(record, rounds):<8}", bar, done)
            parts.append(line)
        running = [trial for trial in trials if trial.status == "started"]
        if running:
            parts.append(self._running(running[:SHOWN_RUNNING], len(running)))
        best = rank(trials, self.plan.mode)[:SHOWN_BEST]
        if best:
            parts.append(_listed("best so far", best))
        failed = [trial for trial in trials if trial.status in ("failed", "diverged")]
        if failed:
            parts.append(_listed(f"failed or diverged: {len(failed)}", failed[-SHOWN_FAILED:]))
        return Group(*parts)

    def _running(self, trials: list[Standing], count: int) -> Table:
        table = _block(f"running: {count}")
        for trial in trials:
            record = _run_record(self.folder, trial)
            metrics = record.get("metrics") or {}
            epoch = metrics.get("epoch", 0)
            score = metrics.get(self.folder.record["objective"]["name"])
            bar = ProgressBar(total=trial.epochs or 1, completed=epoch, width=16)
            shown = "" if score is None else f"{score:.4f}"
            table.add_row(f"trial {trial.trial}", bar, f"epoch {epoch}/{trial.epochs}  {shown}", escape(_words(trial)))
        return table


def describe_round(record: Record, rounds: Sequence[Record]) -> str:
    """One line on what a round searches."""
    parts = []
    for name, about in record["ranges"].items():
        if "options" in about:
            parts.append(f"{name}: " + ", ".join(f"{option} {share:.0%}" for option, share in about["options"].items()))
        else:
            parts.append(f"{name}: {about['low']:.3g} to {about['high']:.3g}")
    epochs = f" of {_count(record['epochs'], 'epoch')}" if record["epochs"] else ""
    settings, seeds = len(record.get("settings", [])), len(record.get("seeds", []))
    what = "; ".join(parts) or f"{_count(settings, 'setting')} on {_count(seeds, 'seed')} each"
    return f"{name_of(record, rounds)}: {record['num_trials']} trials{epochs}; {what}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def name_of(record: Record, rounds: Sequence[Record]) -> str:
    """What people call a round."""
    number = number_of(record, rounds)
    return number if record["kind"] == "finals" else f"round {number}"


def _listed(title: str, trials: list[Standing]) -> Table:
    table = _block(title)
    for trial in trials:
        table.add_row(_line(trial))
    return table


def _block(title: str) -> Table:
    return Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="dim", show_header=False)


def _line(trial: Standing) -> str:
    colour = COLOURS.get(trial.status, "white")
    score = f" {trial.score:.4f}" if trial.score is not None and trial.status not in ("failed", "diverged") else ""
    reason = f"  ({escape(trial.reason)})" if trial.error and trial.status != "finished" else ""
    return f"trial {trial.trial:<3} [{colour}]{trial.status}[/]{score}  {escape(_words(trial))}{reason}"


def _words(trial: Standing) -> str:
    return " ".join(word for word in trial.overrides if not word.startswith("engine.epochs="))


def _run_record(folder: SweepFolder, trial: Standing) -> dict[str, Any]:
    try:
        record = json.loads((folder.trial(trial.trial) / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
