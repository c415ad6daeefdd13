"""What the person at the terminal sees: a live display, or a line an epoch where nobody watches."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from runner.engine.observer import Record
from runner.engine.state import TrainState
from runner.formatting import WorkClock, number, rate
from runner.objective import Objective
from runner.stages import shown_by
from runner.throttle import Throttle

SILENT_SECONDS = 1.0  # after which a stage is named where no live display is
LINE_SECONDS = 30.0  # within a long epoch, from one line to the next
REFRESHES_PER_SECOND = 3
PRINT_SHARE = 0.01  # of the time of a run
MIN_BAR = 10  # characters
SHOWN_IN_PLACE = 20  # epochs, in a notebook

# Columns: heading, key of the record, width. Where they do not all fit, the later ones of DROPPED go last.
COLUMNS = (
    ("lr", "lr", 8),
    ("train loss", "train/loss", 10),
    ("train acc.", "train/accuracy", 10),
    ("val loss", "val/loss", 9),
    ("val acc.", "val/accuracy", 8),
    ("images/s", "images_per_second", 9),
)
DROPPED = ("images/s", "lr", "train acc.", "train loss", "val loss")


def make(mode: str, console: Console, num_epochs: int, steps_per_epoch: int, objective: Objective) -> Any:
    """The display of that mode: live, lines, none, or auto (live at a terminal or in a notebook, else lines)."""
    mode = resolve(mode, console)
    if mode == "none":
        return None
    kind = LiveProgress if mode == "live" else LineProgress
    return kind(console, num_epochs, steps_per_epoch, objective)


def resolve(mode: str, console: Console) -> str:
    """What `auto` is on that console."""
    if mode != "auto":
        return mode
    return "live" if console.is_terminal or console.is_jupyter else "lines"


def showing_stages(mode: str, console: Console) -> AbstractContextManager[None]:
    """The stages before training are shown within it, as the display of that mode shows them."""
    mode = resolve(mode, console)
    return nullcontext() if mode == "none" else shown_by(Stages(console, mode == "live"))


class Stages:
    """Shows the stages before training: at once where the display is live, else those that take more than a second."""

    def __init__(self, console: Console, live: bool) -> None:
        self.console = console
        self.live = live
        self.status: Status | None = None

    @contextmanager
    def __call__(self, text: str) -> Iterator[None]:
        with ExitStack() as ending:
            if not self.live:
                timer = threading.Timer(SILENT_SECONDS, self.console.print, [f"{text} ..."], {"highlight": False})
                timer.daemon = True
                timer.start()
                ending.callback(timer.cancel)
            elif self.status is None:
                self.status = ending.enter_context(self.console.status(text))
                ending.callback(setattr, self, "status", None)
            else:  # within another stage
                ending.callback(self.status.update, self.status.status)
                self.status.update(text)
            yield


class LineProgress:
    """One line an epoch, and of a long epoch one every half a minute."""

    def __init__(self, console: Console, num_epochs: int, steps_per_epoch: int, objective: Objective) -> None:
        self.console = console
        self.length = _Length(num_epochs, steps_per_epoch)
        self.told = time.monotonic()

    def started(self, state: TrainState) -> None:
        self.length.begin(state)
        self.told = time.monotonic()

    def reported(self, state: TrainState, losses: list[float]) -> None:
        if time.monotonic() - self.told < LINE_SECONDS:
            return
        num_epochs, num_steps = self.length.of(state)
        parts = [f"epoch {state.epoch + 1}/{num_epochs}", f"step {state.step}/{num_steps}"]
        self._tell([*parts, f"loss {number(losses[0])}", self.length.left(state)])

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        record = records[0]
        parts = [f"epoch {record['epoch']}/{self.length.of(state)[0]}"]
        parts += [f"{name} {number(value)}" for name, value in record.items() if "/" in name]
        self._tell([*parts, f"{rate(record['images_per_second'])} images/s"])

    def _tell(self, parts: Sequence[str]) -> None:
        self.told = time.monotonic()
        self.console.file.write(
            "  ".join(filter(None, parts)) + "\n"
        )  # which print would take a millisecond to lay out
        self.console.file.flush()

    def close(self) -> None:
        pass


class LiveProgress:
    """Every epoch stays on the screen; below them a bar over the steps of the run, and the best epoch so far.

    The bar is drawn by the clock, in a thread of its own. In a notebook, which cannot print above it, the latest epochs
    are a part of what is drawn.
    """

    def __init__(self, console: Console, num_epochs: int, steps_per_epoch: int, objective: Objective) -> None:
        self.console = console
        self.objective = objective
        self.num_epochs = num_epochs
        self.length = _Length(num_epochs, steps_per_epoch)
        self.columns = fitting(console.width, num_epochs)
        self.in_place = console.is_jupyter
        self.rows: list[str] = []  # in place: the latest; else those that are yet to be printed
        self.throttle = Throttle(PRINT_SHARE)
        self.state: TrainState | None = None
        self.loss: float | None = None
        self.stage = ""
        self.live = Live(
            get_renderable=self._picture, console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True
        )
        self.ending = ExitStack()

    def started(self, state: TrainState) -> None:
        self.state = state
        self.length.begin(state)
        if not self.in_place:
            self.console.print(self._heading())
        self.live.start()
        self.ending.enter_context(shown_by(self._show_stage))

    def reported(self, state: TrainState, losses: list[float]) -> None:
        self.loss = losses[0]

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        record = records[0]
        self.loss = record["train/loss"]
        cells = [self._cell(record, key) for _, key, _ in self.columns]
        is_best = state.trials[0].best_epoch == record["epoch"]
        self.rows.append(self._line(cells, str(record["epoch"])) + ("  best" if is_best else ""))
        if self.in_place:
            del self.rows[:-SHOWN_IN_PLACE]
        elif self.throttle.due:
            self._print()

    def close(self) -> None:
        if not self.in_place:
            self._print()
        self.live.stop()
        if self.in_place:
            self.console.print(self._table())
        self.ending.close()

    def _print(self) -> None:
        if self.rows:
            with self.throttle.done():
                self.console.print("\n".join(self.rows), markup=False, highlight=False, soft_wrap=True)
            self.rows = []

    @contextmanager
    def _show_stage(self, text: str) -> Iterator[None]:
        before, self.stage = self.stage, text
        yield
        self.stage = before

    def _cell(self, record: Record, key: str) -> str:
        if key not in record:
            return ""
        if key == "lr":
            return f"{record[key]:.2e}"
        return rate(record[key]) if key == "images_per_second" else number(record[key])

    def _line(self, cells: Sequence[str], epoch: str) -> str:
        first = epoch.rjust(_width_of_epoch(self.num_epochs))
        pairs = zip(cells, self.columns, strict=True)
        return "  ".join([first, *(cell.rjust(width) for cell, (_, _, width) in pairs)])

    def _table(self) -> RenderableType:
        return Group(self._heading(), *(Text(row) for row in self.rows))

    def _heading(self) -> Text:
        return Text(self._line([name for name, _, _ in self.columns], "epoch"), style="bold")

    def _picture(self) -> RenderableType:
        state = self.state
        if state is None:
            return ""
        loss = "" if self.loss is None else f"loss {number(self.loss)}"
        num_epochs, num_steps = self.length.of(state)
        begin = f"epoch {min(state.epoch + 1, num_epochs)}/{num_epochs}"
        steps = f"{state.step}/{num_steps} steps"
        ends = [steps, self.stage or loss, self.length.clock.elapsed(), self.length.left(state)]
        room = self.console.width - len(begin) - 2 - MIN_BAR
        for least in (2, 1, 3):  # where they do not all fit: elapsed, loss, left
            if sum(len(part) + 2 for part in ends if part) <= room:
                break
            ends[least] = ""
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        parts = list(filter(None, ends))
        for _ in parts:
            bar.add_column(no_wrap=True)
        bar.add_row(begin, ProgressBar(total=num_steps, completed=state.step), *parts)
        trial = state.trials[0]
        best = ""
        if trial.best_value is not None:
            best = f"best {self.objective.name} {number(trial.best_value)} (epoch {trial.best_epoch})"
        below = [bar, Text(best, style="green")] if best else [bar]
        return Group(*([self._table()] if self.in_place else []), *below)


class _Length:
    """How long a run is and what is left of it, which a limit of its time may change on the way."""

    def __init__(self, num_epochs: int, steps_per_epoch: int) -> None:
        self.num_epochs = num_epochs
        self.steps_per_epoch = steps_per_epoch
        self.num_steps = num_epochs * steps_per_epoch
        self.first_step = 0
        self.clock = WorkClock(0)

    def begin(self, state: TrainState) -> None:
        self.first_step = state.step
        self.clock = WorkClock(0)

    def of(self, state: TrainState) -> tuple[int, int]:
        """Epochs and steps of the whole run."""
        if state.planned_steps is None:
            return self.num_epochs, self.num_steps
        return max(1, -(-state.planned_steps // self.steps_per_epoch)), state.planned_steps

    def left(self, state: TrainState) -> str:
        """The time left, in words."""
        left = self.of(state)[1] - state.step
        self.clock.work = left + state.step - self.first_step
        return self.clock.left(left)


def fitting(width: int, num_epochs: int) -> list[tuple[str, str, int]]:
    """The columns that have room, whole."""
    columns = list(COLUMNS)
    mark = 2 + len("best")
    for name in DROPPED:
        if _width_of_epoch(num_epochs) + sum(2 + size for _, _, size in columns) + mark <= width:
            break
        columns = [column for column in columns if column[0] != name]
    return columns


def _width_of_epoch(num_epochs: int) -> int:
    return max(len("epoch"), len(str(num_epochs)))
