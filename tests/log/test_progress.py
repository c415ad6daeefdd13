"""What the person at the terminal sees."""

import io

import pytest
from rich.console import Console

import runner
from runner.log import progress
from runner.objective import training_objective


@pytest.fixture(autouse=True)
def _however_quick_the_machine(monkeypatch):
    monkeypatch.setattr("runner.log.progress.PICTURE_SECONDS", 0.0)
    monkeypatch.setattr("runner.log.progress.PICTURE_SHARE", 1e9)


def watched(mode, console):
    """A short training with that display; what it wrote."""
    training = runner.build.training(runner.compose(["model=linear", "engine.epochs=2"]))
    shown = progress.make(mode, console, 2, training.train.num_batches, training_objective())
    state = training.state
    shown.started(state)
    for epoch in (1, 2):
        state.step, state.epoch = epoch * training.train.num_batches, epoch
        state.trials[0].best_epoch = 1
        shown.reported(state, [0.25])
        record = {"epoch": epoch, "step": state.step, "lr": 0.1, "train/loss": 0.25, "train/accuracy": 0.5}
        shown.epoch_ended(state, [record | {"val/loss": 0.2, "val/accuracy": 0.75, "images_per_second": 1234.5}])
    shown.close()
    return console.file.getvalue()


def test_the_live_display_has_a_bar_the_epochs_and_the_best():
    text = watched("live", Console(file=io.StringIO(), force_terminal=True, width=120))
    for wanted in ("76/76", "val acc.", "0.7500", "1,234", "best"):
        assert wanted in text


def test_lines_are_one_an_epoch():
    lines = watched("lines", Console(file=io.StringIO(), width=200)).splitlines()
    assert len(lines) == 2
    assert (
        lines[0]
        == "epoch 1/2  train/loss 0.2500  train/accuracy 0.5000  val/loss 0.2000  val/accuracy 0.7500  1,234 images/s"
    )


@pytest.mark.parametrize(("terminal", "kind"), [(True, progress.LiveProgress), (False, progress.LineProgress)])
def test_auto_is_live_at_a_terminal_only(terminal, kind):
    console = Console(file=io.StringIO(), force_terminal=terminal)
    assert isinstance(progress.make("auto", console, 1, 1, training_objective()), kind)


def test_none_shows_nothing():
    assert progress.make("none", Console(), 1, 1, training_objective()) is None
