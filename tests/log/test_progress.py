"""What the person at the terminal sees."""

import io
import math
import re
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from rich.console import Console

import runner
from runner.log import progress
from runner.objective import training_objective
from runner.stages import shown_by, stage


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


def test_the_live_display_leaves_every_epoch_on_the_screen():
    text = watched("live", Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120))
    # What is transient is erased line by line; what is printed stays.
    kept = [line for line in text.splitlines() if re.match(r"\W*(epoch +lr|[12] )", line.lstrip("\r\x1b[2K1A"))]
    assert any("val acc." in line for line in kept)
    rows = [" ".join(line.split()) for line in text.splitlines() if "1.00e-01" in line]
    assert [row.endswith("1,234 best") for row in rows] == [True, False]
    assert "epoch 2/2" in text
    assert "76/76 steps" in text
    after = text[text.rindex("76/76 steps") :]
    assert after.endswith("\x1b[1A\x1b[2K"), "the bar is erased at the end"


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


def latest(shown, width=120):
    """The lines of the picture as it is now."""
    shown.console.width = width
    out = io.StringIO()
    Console(file=out, width=width).print(shown.live.get_renderable())
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_the_bar_counts_every_step_whenever_it_is_drawn(live):
    shown, state = live
    assert latest(shown)[0].startswith("epoch 1/12 ")
    assert " 0/456 steps 0:00 elapsed" in latest(shown)[0]
    state.step, state.epoch = 57, 1
    shown.reported(state, [0.125, 9.0])
    assert latest(shown)[0].startswith("epoch 2/12 ")
    assert " 57/456 steps loss 0.1250 " in latest(shown)[0]
    state.step = 58  # and nobody was told
    assert " 58/456 steps " in latest(shown)[0]
    state.epoch = 12
    shown.reported(state, [80_200_000.0])
    assert latest(shown)[0].startswith("epoch 12/12 ")
    assert " loss 8.02e+07 " in latest(shown)[0]


def test_the_bar_grows_with_the_steps(live):
    shown, state = live
    lengths = []
    for step in (0, 114, 342):
        state.step = step
        out = io.StringIO()
        Console(file=out, width=120, force_terminal=True, color_system="standard").print(shown.live.get_renderable())
        done = re.search(r"\x1b\[91m([━╸]+)", out.getvalue())  # the colored part
        lengths.append(len(done[1]) if done else 0)
    assert lengths[0] == 0 < lengths[1]
    assert lengths[2] == pytest.approx(3 * lengths[1], abs=2)


def test_time_left_is_that_of_the_steps_so_far(live, monkeypatch):
    shown, state = live
    state.step = 100
    shown.length.begin(state)  # gone on with
    began = shown.length.clock.began
    monkeypatch.setattr("time.monotonic", lambda: began + 65)
    assert latest(shown)[0].endswith("1:05 elapsed")
    state.step = 126
    assert latest(shown)[0].endswith("1:05 elapsed 13:45 left")  # 330 steps at 26 in 65 seconds


@pytest.mark.parametrize("mode", ["live", "lines"])
def test_the_time_of_a_run_that_goes_on_is_counted_from_where_it_does(mode, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    state = runner.build.training(runner.compose(["model=linear"])).state
    shown = progress.make(mode, Console(file=io.StringIO(), width=120), 12, 38, training_objective())
    state.step, now[0] = 100, 1010.0
    shown.started(state)
    state.step, now[0] = 126, 1075.0
    assert shown.length.left(state) == "13:45 left"  # 330 steps at 26 in 65 seconds
    shown.close()


def test_the_best_so_far_stays_in_sight(live):
    shown, state = live
    assert len(latest(shown)) == 1
    state.trials[0].best_value, state.trials[0].best_epoch = 0.97, 3
    assert latest(shown)[1] == "best val/accuracy 0.9700 (epoch 3)"


@pytest.mark.parametrize("width", [30, 45, 60, 80, 160])
def test_a_narrow_screen_has_fewer_columns_and_whole_numbers(width):
    names = [name for name, _, _ in progress.fitting(width, 20)]
    every = [name for name, _, _ in progress.COLUMNS]
    assert names == [name for name in every if name in names]
    assert "val acc." in names
    assert (names == every) == (width >= 80)
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    shown = progress.make("live", console, 20, 38, training_objective())
    record = {"epoch": 1, "lr": 1e-3, "train/loss": 2.5, "train/accuracy": 0.5, "val/loss": 2.0, "val/accuracy": 0.75}
    row = shown._line([shown._cell(record | {"images_per_second": 12345.6}, key) for _, key, _ in shown.columns], "1")
    assert len(row) + len("  best") <= max(width, 24)
    assert "0.7500" in row
    training = runner.build.training(runner.compose(["model=linear"]))
    shown.state = training.state
    shown.loss = 0.5
    (line,) = latest(shown, width)
    assert "/760" in line
    assert "…" not in line


def test_a_stage_takes_the_place_of_the_loss_while_it_lasts(live):
    shown, state = live
    shown.reported(state, [0.5])
    with stage("validation"):
        assert " steps validation " in latest(shown)[0]
    assert " steps loss 0.5000 " in latest(shown)[0]


def test_rows_are_printed_no_more_often_than_there_is_time_for_and_none_is_lost(live):
    shown, state = live
    shown.throttle.queued()  # not again
    record = {"lr": 0.1, "train/loss": 0.5, "images_per_second": math.nan}
    for epoch in (1, 2):
        shown.epoch_ended(state, [record | {"epoch": epoch}])
    assert "1.00e-01" not in shown.console.file.getvalue()
    shown.close()
    assert shown.console.file.getvalue().count("1.00e-01") == 2


def test_in_a_notebook_the_latest_epochs_are_in_the_picture():
    console = Console(file=io.StringIO(), force_jupyter=True, width=100)
    assert progress.resolve("auto", console) == "live"
    shown = progress.LiveProgress(Console(file=io.StringIO(), width=100), 30, 38, training_objective())
    shown.in_place, shown.state = True, runner.build.training(runner.compose(["model=linear"])).state
    for epoch in range(1, 26):
        record = {"epoch": epoch, "lr": 0.1, "train/loss": 0.5, "images_per_second": 1.0}
        shown.epoch_ended(shown.state, [record])
    heading, *rows = latest(shown)[:21]
    assert heading.startswith("epoch lr")
    assert [row.split()[0] for row in rows] == [str(epoch) for epoch in range(6, 26)]


def test_a_long_epoch_has_a_line_now_and_then(monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now)
    console = Console(file=io.StringIO(), width=200)
    shown = progress.make("lines", console, 2, 100, training_objective())
    state = runner.build.training(runner.compose(["model=linear"])).state
    shown.started(state)
    for step, passed in ((10, 20), (20, 40), (30, 50), (40, 80)):
        state.step, now = step, shown.length.clock.began + passed
        shown.reported(state, [0.5])
    assert console.file.getvalue().splitlines() == [
        "epoch 1/2  step 20/200  loss 0.5000  6:00 left",
        "epoch 1/2  step 40/200  loss 0.5000  5:20 left",
    ]


def test_a_stage_is_named_where_it_takes_a_second(monkeypatch):
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.05)
    console = Console(file=io.StringIO(), width=80)
    with shown_by(progress.Stages(console, live=False)):
        with stage("quick"):
            pass
        with stage("reading"):
            time.sleep(0.3)
    assert console.file.getvalue() == "reading ...\n"
    with stage("nobody looks"):
        pass


@pytest.mark.parametrize(("mode", "shown"), [("none", None), ("lines", False), ("auto", False), ("live", True)])
def test_stages_are_shown_as_the_display_that_was_chosen(mode, shown, monkeypatch):
    made = []
    monkeypatch.setattr(progress, "Stages", lambda console, live: made.append(live) or nullcontext)
    with progress.showing_stages(mode, Console(file=io.StringIO())), stage("reading"):
        pass
    assert made == ([] if shown is None else [shown])


def test_a_stage_within_another_takes_its_place_at_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    stages = progress.Stages(console, live=True)
    with shown_by(stages), stage("outer"):
        assert stages.status.status == "outer"
        with stage("inner"):
            assert stages.status.status == "inner"
        assert stages.status.status == "outer"
    assert stages.status is None


def test_what_finds_no_room_beside_the_bar_is_left_out_time_first_and_the_loss_next(live, monkeypatch):
    shown, state = live
    shown.length.begin(state)
    began = shown.length.clock.began
    monkeypatch.setattr("time.monotonic", lambda: began + 65)
    state.step, state.epoch = 57, 1
    shown.reported(state, [0.125, 9.0])
    words = {"elapsed": "elapsed", "loss": "loss", "left": "left", "steps": "57/456"}
    seen = [[name for name, word in words.items() if word in latest(shown, width)[0]] for width in range(120, 30, -1)]
    seen = [names for place, names in enumerate(seen) if place == 0 or names != seen[place - 1]]
    assert seen == [["elapsed", "loss", "left", "steps"], ["loss", "left", "steps"], ["left", "steps"], ["steps"]]


# ---------------------------------------------------------------------------------------------------------------------
# Its pieces


class Clock:
    """Time that a test sets."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


def state_at(step, epoch=0, planned=None):
    return SimpleNamespace(step=step, epoch=epoch, planned_steps=planned, trials=[SimpleNamespace(best_epoch=None)])


@pytest.mark.parametrize(
    ("planned", "length"), [(None, (12, 456)), (38, (1, 38)), (39, (2, 39)), (76, (2, 76)), (0, (1, 0))]
)
def test_a_run_whose_time_is_limited_is_as_long_as_its_updates(planned, length):
    assert progress._Length(12, 38).of(state_at(0, planned=planned)) == length


def test_time_left_is_that_of_the_updates_that_are_planned_now(monkeypatch):
    clock, length = Clock(monkeypatch), progress._Length(10, 10)
    length.begin(state_at(20))
    clock.now += 30
    assert length.left(state_at(20)) == ""
    assert length.left(state_at(30)) == "3:30 left"  # 70 updates at 3 s
    assert length.left(state_at(30, planned=40)) == "0:30 left"
    assert length.left(state_at(40, planned=40)) == "0:00 left"


def test_a_line_comes_half_a_minute_after_the_one_before(monkeypatch):
    clock = Clock(monkeypatch)
    console = Console(file=io.StringIO(), width=200)
    shown = progress.make("lines", console, 2, 100, training_objective())
    clock.now += 100
    shown.started(state_at(0))
    for passed in (29, 30, 59, 60):
        clock.now = 1100.0 + passed
        shown.reported(state_at(10), [0.5, 9.0])
    lines = console.file.getvalue().splitlines()
    assert [line.partition("  loss 0.5000  ")[0] for line in lines] == ["epoch 1/2  step 10/200"] * 2
    shown.epoch_ended(
        state_at(100, 1), [{"epoch": 1, "step": 100, "lr": 0.1, "train/loss": 0.5, "images_per_second": math.nan}]
    )
    assert console.file.getvalue().splitlines()[2:] == ["epoch 1/2  train/loss 0.5000  - images/s"]
    clock.now += 29
    shown.reported(state_at(110, 1), [0.5])
    assert len(console.file.getvalue().splitlines()) == 3
    assert shown.close() is None


def test_a_cell_says_what_its_column_has():
    shown = progress.make("live", Console(file=io.StringIO(), width=120), 12, 38, training_objective())
    record = {"lr": 0.00123, "images_per_second": 12345.6, "val/loss": 0.25, "train/loss": 1e-5}
    cells = [shown._cell(record, key) for key in ("lr", "images_per_second", "val/loss", "train/loss", "val/accuracy")]
    assert cells == ["1.23e-03", "12,346", "0.2500", "1e-05", ""]


@pytest.mark.parametrize(("num_epochs", "row"), [(9, "    3    0.5000"), (1234567, "      3    0.5000")])
def test_numbers_stand_below_their_headings(num_epochs, row):
    shown = progress.make("live", Console(file=io.StringIO(), width=120), num_epochs, 38, training_objective())
    shown.columns = [("val acc.", "val/accuracy", 8)]
    assert shown._line(["0.5000"], "3") == row
    assert shown._line(["val acc."], "epoch").endswith("epoch  val acc.")


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (77, ["lr", "train loss", "train acc.", "val loss", "val acc.", "images/s"]),
        (76, ["lr", "train loss", "train acc.", "val loss", "val acc."]),
        (66, ["lr", "train loss", "train acc.", "val loss", "val acc."]),
        (65, ["train loss", "train acc.", "val loss", "val acc."]),
        (55, ["train loss", "val loss", "val acc."]),
        (43, ["val loss", "val acc."]),
        (31, ["val acc."]),
        (5, ["val acc."]),
    ],
)
def test_columns_go_in_an_order_until_the_others_fit(width, names):
    """The epoch takes 5 characters, the mark of the best 6, and each column two more than its width."""
    assert [name for name, _, _ in progress.fitting(width, 20)] == names


def test_rows_are_printed_as_soon_as_there_is_time(live):
    shown, state = live
    record = {"lr": 0.1, "train/loss": 0.5, "images_per_second": 1.0}
    shown.epoch_ended(state, [record | {"epoch": 1}])
    assert shown.console.file.getvalue().count("1.00e-01") == 1
    assert shown.rows == []
    assert shown.loss == 0.5
    assert shown.throttle.free_at > 0, "it takes its share of the time"


def test_a_display_that_was_not_begun_shows_nothing():
    shown = progress.make("live", Console(file=io.StringIO(), width=120), 12, 38, training_objective())
    assert shown._picture() == ""


def test_in_a_notebook_the_table_stays_when_the_bar_is_gone():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=100)
    shown = progress.LiveProgress(console, 30, 38, training_objective())
    shown.in_place = True
    state = runner.build.training(runner.compose(["model=linear"])).state
    shown.started(state)
    shown.epoch_ended(state, [{"epoch": 1, "lr": 0.1, "train/loss": 0.5, "images_per_second": 1.0}])
    console.file.truncate(0)
    shown.close()
    last = [" ".join(line.split()) for line in console.file.getvalue().splitlines()][-2:]
    assert last[0].endswith("epoch lr train loss train acc. val loss val acc. images/s")
    assert last[1].startswith("1 1.00e-01 0.5000")


def test_stages_before_training_are_shown_at_once_at_a_terminal_and_erased():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    stages = progress.Stages(console, live=True)
    with stages("reading the images"):
        pass
    assert "reading the images" in console.file.getvalue()
    assert stages.status is None


def test_a_quick_stage_is_not_named_later(monkeypatch):
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.05)
    console = Console(file=io.StringIO(), width=80)
    with progress.Stages(console, live=False)("quick"):
        pass
    time.sleep(0.1)
    assert console.file.getvalue() == ""


def test_a_stage_has_a_second_before_it_is_named(monkeypatch):
    waits = []
    timer = threading.Timer
    monkeypatch.setattr(
        progress.threading, "Timer", lambda seconds, *given: waits.append(seconds) or timer(seconds, *given)
    )
    with progress.Stages(Console(file=io.StringIO()), live=False)("reading"):
        pass
    assert waits == [1.0]
