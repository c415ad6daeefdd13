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


@pytest.fixture
def live():
    """A live display of 12 epochs of 38 steps, and its state."""
    training = runner.build.training(runner.compose(["model=linear"]))
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120)
    shown = progress.make("live", console, 12, 38, training_objective())
    shown.started(training.state)
    yield shown, training.state
    shown.close()


def latest(shown):
    """The lines of the picture as it is now."""
    out = io.StringIO()
    Console(file=out, width=120).print(shown.live.get_renderable())
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_the_bar_shows_the_loss_since_the_last_report_and_how_far_the_run_is(live):
    shown, state = live
    assert latest(shown)[0].startswith("epoch 1/12 ")
    assert " 0/456 steps loss - " in latest(shown)[0]
    state.step, state.epoch = 57, 1
    shown.reported(state, [0.125, 9.0])
    assert latest(shown)[0].startswith("epoch 2/12 ")
    assert " 57/456 steps loss 0.1250 " in latest(shown)[0]
    state.epoch = 12
    shown.reported(state, [12345.0])
    assert latest(shown)[0].startswith("epoch 12/12 ")
    assert " loss 1.23e+04 " in latest(shown)[0]


def test_the_latest_eight_epochs_are_listed_and_the_best_of_them_marked(live):
    shown, state = live
    for epoch in range(1, 11):
        state.epoch, state.trials[0].best_epoch = epoch, 7
        record = {"epoch": epoch, "lr": 0.05, "train/loss": 0.0005, "train/accuracy": 0.5, "images_per_second": 1234.5}
        shown.epoch_ended(state, [record | ({"val/loss": 0.0, "val/accuracy": 0.75} if epoch % 2 else {})])
    _, headings, *rows = latest(shown)
    assert headings == "epoch lr train loss train acc. val loss val acc. images/s"
    assert [row.split()[0] for row in rows] == [str(epoch) for epoch in range(3, 11)]
    assert rows[-1] == "10 5.00e-02 0.0005 0.5000 1,234"
    assert rows[-2] == "9 5.00e-02 0.0005 0.5000 0.0000 0.7500 1,234"
    assert [row.split()[0] for row in rows if row.endswith("best")] == ["7"]
    assert " loss 0.0005 " in latest(shown)[0]


def test_a_picture_is_drawn_no_more_often_than_there_is_time_for(live):
    shown, state = live
    shown.throttle.queued()  # not again
    state.step = 99
    shown.reported(state, [0.5])
    shown.epoch_ended(state, [{"epoch": 1, "lr": 0.1, "train/loss": 0.5, "images_per_second": 1.0}])
    assert " 0/456 " in latest(shown)[0]
