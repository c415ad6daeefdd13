"""The screen of a training looks as it did when it was last looked at."""

import io

import pytest
from rich.console import Console

import runner
from runner.formatting import WorkClock
from runner.log import progress
from runner.objective import training_objective


@pytest.fixture
def screens(monkeypatch):
    """`screens("live", width=100)`: what is drawn after each of three epochs, and in the middle of the last."""
    monkeypatch.setattr(WorkClock, "elapsed", lambda self: "0:07")
    monkeypatch.setattr(WorkClock, "left", lambda self, work: f"0:0{round(work) % 10} left")

    def draw(width, jupyter=False):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, force_jupyter=False)
        console.is_jupyter = jupyter

        def printed(*parts):
            with console.capture() as captured:
                console.print(*parts, sep="\n")
            return captured.get()

        state = runner.build.training(runner.compose(["model=linear"])).state
        shown = progress.LiveProgress(console, 12, 30, training_objective())
        shown.length.begin(state)
        shown.state = state
        parts = []
        for epoch, score in enumerate((0.5, 0.75, 0.7), 1):
            state.step, state.epoch = 30 * epoch, epoch
            trial = state.trials[0]
            if trial.best_value is None or score > trial.best_value:
                trial.best_value, trial.best_epoch = score, epoch
            record = {"epoch": epoch, "step": state.step, "lr": 0.1 / epoch, "train/loss": 2.5 / epoch}
            record |= {"train/accuracy": score + 0.05, "images_per_second": 1234.5 * epoch}
            if epoch != 2:
                record |= {"val/loss": 1.5 / epoch, "val/accuracy": score}
            shown.epoch_ended(state, [record])
            parts.append(printed(shown._table(), shown._picture()))
        state.step += 15
        shown.reported(state, [0.8])
        with shown._show_stage("saving"):
            parts.append(printed(shown._picture()))
        return "\n".join(parts)

    return draw


@pytest.mark.parametrize(
    ("name", "width", "jupyter"), [("wide", 110, False), ("narrow", 45, False), ("notebook", 90, True)]
)
def test_the_live_display_looks_as_it_did(screens, looks, name, width, jupyter):
    looks(f"log/live_{name}", screens(width, jupyter))
