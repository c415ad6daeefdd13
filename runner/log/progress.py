"""What the person at the terminal sees: a live display, or a line an epoch where nobody watches."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from runner.engine.observer import Record
from runner.engine.state import TrainState
from runner.log.throttle import Throttle
from runner.objective import Objective

SHOWN_EPOCHS = 8
PICTURE_SHARE = 0.02  # of the time of a run
PICTURE_SECONDS = 0.1


def make(mode: str, console: Console, num_epochs: int, steps_per_epoch: int, objective: Objective) -> Any:
    """The display of that mode: live, lines, none, or auto (live at a terminal, else lines)."""
    if mode == "auto":
        mode = "live" if console.is_terminal else "lines"
    if mode == "none":
        return None
    kind = LiveProgress if mode == "live" else LineProgress
    return kind(console, num_epochs, steps_per_epoch, objective)


class LineProgress:
    """One line an epoch."""

    def __init__(self, console: Console, num_epochs: int, steps_per_epoch: int, objective: Objective) -> None:
        self.console = console
        self.num_epochs = num_epochs

    def started(self, state: TrainState) -> None:
        pass

    def reported(self, state: TrainState, losses: list[float]) -> None:
        pass

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        record = records[0]
        parts = [f"epoch {record['epoch']}/{self.num_epochs}"]
        parts += [f"{name} {_number(value)}" for name, value in record.items() if "/" in name]
        parts.append(f"{record['images_per_second']:,.0f} images/s")
        self.console.file.write("  ".join(parts) + "\n")  # plain text, which print would take a millisecond to lay out
        self.console.file.flush()

    def close(self) -> None:
        pass


class LiveProgress:
    """A bar over the steps of the run, the latest epochs under it, the best one marked."""

    def __init__(self, console: Console, num_epochs: int, steps_per_epoch: int, objective: Objective) -> None:
        self.objective = objective
        self.num_epochs = num_epochs
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(num_epochs)),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self.task = self.bar.add_task("", total=num_epochs * steps_per_epoch, epoch=1, loss="-")
        self.records: list[Record] = []
        self.best: float | None = None
        self.throttle = Throttle(PICTURE_SHARE, PICTURE_SECONDS)
        self.live = Live(self._picture(), console=console, auto_refresh=False, transient=True)

    def started(self, state: TrainState) -> None:
        self.live.start()
        self._show(state)

    def reported(self, state: TrainState, losses: list[float]) -> None:
        self.bar.update(self.task, loss=_number(losses[0]))
        if self.throttle.due:
            self._show(state)

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        self.records.append(records[0])
        self.best = state.trials[0].best_epoch
        self.bar.update(self.task, loss=_number(records[0]["train/loss"]))
        if self.throttle.due:
            self._show(state)

    def close(self) -> None:
        self.live.stop()

    def _show(self, state: TrainState) -> None:
        with self.throttle.done():
            self.bar.update(self.task, completed=state.step, epoch=min(state.epoch + 1, self.num_epochs))
            self.live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for heading in ("epoch", "lr", "train loss", "train acc.", "val loss", "val acc.", "images/s", ""):
            table.add_column(heading, justify="right")
        for record in self.records[-SHOWN_EPOCHS:]:
            names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
            cells = [_number(record[name]) if name in record else "" for name in names]
            mark = "[green]best[/]" if record["epoch"] == self.best else ""
            rate = f"{record['images_per_second']:,.0f}"
            table.add_row(str(record["epoch"]), f"{record['lr']:.2e}", *cells, rate, mark)
        return Group(self.bar, table)


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
