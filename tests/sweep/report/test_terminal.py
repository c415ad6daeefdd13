"""What the person at the terminal sees while a sweep runs."""

import io
import json
import re
import time
from functools import partial

import pytest
from rich.console import Console

from runner.sweep.record.journal import Journal
from runner.sweep.report import terminal
from runner.sweep.report.terminal import SweepProgress, progress
from runner.sweep.space.space import Categorical, Interval

LR = {"lr": Interval(1e-3, 1.0, "log")}


def queued(trial, lr="0.5", round_=0, epochs=1, **more):
    about = {"trial": trial, "round": round_, "point": {"lr": lr}, "seed": None, "epochs": epochs}
    return {"event": "queued", **about, "folder": f"trials/{trial:04d}"} | more


@pytest.fixture
def show():
    """`show(sweep, "lines")`: the display of a sweep, and what it has printed; it follows when it is polled."""

    def make(sweep, mode, terminal=False):
        out = io.StringIO()
        console = Console(file=out, width=150, force_terminal=terminal, color_system=None)
        return SweepProgress(sweep.folder, sweep.plan, mode, console), out

    return make


def drawn(shown):
    """The lines of the live table, without the bars."""
    out = io.StringIO()
    Console(file=out, width=150).print(shown.render())
    return [" ".join(re.sub("[━╸╺]", "", line).split()) for line in out.getvalue().splitlines()]


def test_each_trial_has_its_line_under_that_of_its_round(two_rounds, show):
    shown, out = show(two_rounds, "lines")
    shown.poll()
    good, other = "optimizer.lr=0.02 reg.l2.strength=0.001", "optimizer.lr=0.005 reg.l2.strength=0.0002"
    assert out.getvalue().splitlines() == [
        "round 1: 5 trials of 1 epoch; optimizer.lr: 0.0001 to 1; reg.l2.strength: 1e-05 to 0.1",
        "  trial 0   finished 0.3000  optimizer.lr=0.0002 reg.l2.strength=0  best of round 1 0.3000",
        f"  trial 1   finished 0.9000  {good}  best of round 1 0.9000",
        "  trial 2   diverged  optimizer.lr=0.9 reg.l2.strength=0.02  (diverged: <b>1 & 2</b>)  best of round 1 0.9000",
        "trial 3 failed",
        "Traceback (most recent call last):",
        "  File",
        "failed: <b>1 & 2</b>",
        "more",
        "  trial 3   failed  optimizer.lr=0.3 reg.l2.strength=0.00002  (failed: <b>1 & 2</b>)  best of round 1 0.9000",
        "  trial 4   pruned 0.5000  optimizer.lr=0.004 reg.l2.strength=0.05  (pruned: <b>1 & 2</b>)"
        "  best of round 1 0.9000",
        "round 2: 2 trials of 2 epochs; optimizer.lr: 0.001 to 0.1; reg.l2.strength: 0.0001 to 0.01",
        "  optimizer.lr: the best, 0.9, is at the upper edge of 0.0001 to 1: widened to 10",
        f"  trial 5   finished 0.9500  {good}  best so far 0.9500",
        f"  trial 6   finished 0.9300  {other}  best so far 0.9500",
        "finals: 4 trials of 2 epochs; 2 points on 2 seeds each",
        f"  trial 7   finished 0.9600  {good} seed=1  best so far 0.9600",
        f"  trial 8   finished 0.9400  {good} seed=2  best so far 0.9600",
        f"  trial 9   finished 0.9500  {other} seed=1  best so far 0.9600",
        f"  trial 10  finished 0.9300  {other} seed=2  best so far 0.9600",
    ]
    shown.poll()
    assert out.getvalue().count("trial 10") == 1


def test_the_round_of_options_says_their_shares(options, show):
    shown, out = show(options, "lines")
    shown.poll()
    first = out.getvalue().splitlines()[0]
    assert first == "round 1: 4 trials of 1 epoch; optimizer: sgd 50%, adam 50%; model.activation: relu 50%, tanh 50%"


def test_of_many_failures_the_first_alone_is_shown_in_full(write_sweep, show):
    trials = [({"lr": "0.5"}, None, "failed"), ({"lr": "0.6"}, None, "failed")]
    shown, out = show(write_sweep([LR], [trials]), "lines")
    shown.poll()
    assert out.getvalue().count("Traceback") == 1
    assert "trial 1   failed  lr=0.6  (failed: <b>1 & 2</b>)\n" in out.getvalue()
    assert "best so far" not in out.getvalue()


def test_a_trial_that_waits_at_half_its_epochs_is_told_with_its_score_which_is_not_yet_the_best(write_sweep, show):
    sweep = write_sweep([LR], [[]])
    journal = Journal(sweep.folder.journal)
    journal.append([queued(0), {"event": "started", "trial": 0}, {"event": "waiting", "trial": 0, "score": 0.4}])
    shown, out = show(sweep, "lines")
    shown.poll()
    assert out.getvalue().splitlines()[1:] == ["  trial 0   waiting 0.4000  lr=0.5"]


def test_going_on_says_how_far_it_was_and_remembers_the_best(two_rounds, show):
    shown, out = show(two_rounds, "lines")
    Journal(two_rounds.folder.journal).append([queued(11, "0.7", 1, epochs=2)])
    shown.start()
    assert out.getvalue() == "going on: 11 of 12 queued trials have ended\n"
    Journal(two_rounds.folder.journal).append(
        [{"event": "started", "trial": 11}, {"event": "finished", "trial": 11, "score": 0.2}]
    )
    shown.close()
    assert out.getvalue().splitlines()[1:] == [
        "  trial 11  finished 0.2000  lr=0.7  best of round 2 0.9500, best at full length 0.9600"
    ]


def test_a_new_sweep_is_not_going_on(write_sweep, show):
    shown, out = show(write_sweep([LR], [[]]), "lines")
    shown.start()
    shown.close()
    assert out.getvalue() == ""


def test_the_live_table_has_rounds_running_trials_the_best_and_failures(two_rounds, show):
    shown, _ = show(two_rounds, "live")
    journal = Journal(two_rounds.folder.journal)
    journal.append([queued(11, "0.5", 1, epochs=2), queued(12, "0.25", 1, epochs=2)])
    journal.append([{"event": "started", "trial": 11}, {"event": "started", "trial": 12}])
    for number, record in ((11, {"metrics": {"epoch": 1, "val/accuracy": 0.123}}), (12, {"metrics": None})):
        folder = two_rounds.folder.trial(number)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(record))
    shown.journal.refresh()
    good, other = "optimizer.lr=0.02 reg.l2.strength=0.001", "optimizer.lr=0.005 reg.l2.strength=0.0002"
    assert drawn(shown) == [
        "round 1 5/5 trials of 1 epoch",
        "round 2 2/4 trials of 2 epochs",
        "finals 4/4 trials of 2 epochs",
        "running: 2",
        "trial 11 epoch 1/2 0.1230 lr=0.5",
        "trial 12 epoch 0/2 lr=0.25",
        "best of finals",
        f"trial 7 finished 0.9600 {good} seed=1",
        f"trial 9 finished 0.9500 {other} seed=1",
        f"trial 8 finished 0.9400 {good} seed=2",
        "best at full length",
        f"trial 7 finished 0.9600 {good} seed=1",
        f"trial 5 finished 0.9500 {good}",
        f"trial 9 finished 0.9500 {other} seed=1",
        "failed or diverged: 2",
        "trial 2 diverged optimizer.lr=0.9 reg.l2.strength=0.02 (diverged: <b>1 & 2</b>)",
        "trial 3 failed optimizer.lr=0.3 reg.l2.strength=0.00002 (failed: <b>1 & 2</b>)",
        "0:00 elapsed 0:00 left",
    ]


def test_a_bar_is_as_full_as_its_round_and_its_trial(write_sweep, show):
    sweep = write_sweep([LR], [[({"lr": "0.5"}, 0.5, "finished")] * 3])
    Journal(sweep.folder.journal).append([queued(3, epochs=4), {"event": "started", "trial": 3}])
    sweep.folder.trial(3).mkdir(parents=True)
    (sweep.folder.trial(3) / "run.json").write_text('{"metrics": {"epoch": 1}}')
    shown, _ = show(sweep, "live")
    shown.journal.refresh()
    found = shown.render().renderables
    (round_bar,) = [cell for column in found[0].columns for cell in column.cells if hasattr(cell, "completed")]
    (trial_bar,) = [cell for column in found[1].columns for cell in column.cells if hasattr(cell, "completed")]
    assert round_bar.completed / round_bar.total == 3 / 4
    assert trial_bar.completed / trial_bar.total == 1 / 4


def test_of_many_trials_the_table_lists_a_few_and_counts_all(write_sweep, show):
    failed = [({"lr": f"0.1{n}"}, None, "failed") for n in range(6)]
    finished = [({"lr": f"0.2{n}"}, n / 10, "finished") for n in range(7)]
    sweep = write_sweep([LR], [failed + finished])
    journal = Journal(sweep.folder.journal)
    journal.append(event for n in range(20, 30) for event in (queued(n), {"event": "started", "trial": n}))
    shown, _ = show(sweep, "live")
    shown.journal.refresh()
    lines = drawn(shown)
    running, best, lost = (lines.index(title) for title in ("running: 10", "best so far", "failed or diverged: 6"))
    assert [line.split()[1] for line in lines[running + 1 : best]] == [str(n) for n in range(20, 28)]
    assert [line.split()[3] for line in lines[best + 1 : lost]] == ["0.6000", "0.5000", "0.4000"]
    assert [line.split()[1] for line in lines[lost + 1 : -1]] == ["2", "3", "4", "5"]


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_record_that_cannot_be_read_leaves_a_trial_at_its_beginning(write_sweep, show, content):
    sweep = write_sweep([{"lr": Categorical(("0.5",))}], [[]])
    Journal(sweep.folder.journal).append([queued(0), {"event": "started", "trial": 0}])
    shown, _ = show(sweep, "live")
    shown.journal.refresh()
    sweep.folder.trial(0).mkdir(parents=True)
    (sweep.folder.trial(0) / "run.json").write_text(content)
    assert drawn(shown)[1:] == ["running: 1", "trial 0 epoch 0/1 lr=0.5", "0:00 elapsed"]


def test_the_live_table_is_drawn_anew_at_every_look_and_no_trial_has_a_line_that_stays(write_sweep, show):
    sweep = write_sweep([LR], [[]])
    shown, out = show(sweep, "live", terminal=True)
    shown.start()
    Journal(sweep.folder.journal).append([queued(0), {"event": "started", "trial": 0}])
    shown.poll()
    assert "running: 1" in out.getvalue()
    Journal(sweep.folder.journal).append([{"event": "finished", "trial": 0, "score": 0.75}])
    seen = len(out.getvalue())
    shown.poll()
    assert "1/1 trials of 1 epoch" in out.getvalue()[seen:]
    shown.close()
    assert "best so far 0.7500" not in out.getvalue()


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("mode", "at_a_terminal", "said"),
    [
        ("auto", False, "  trial 0   finished 0.7500  lr=0.5  best so far 0.7500\n"),
        ("lines", True, "  trial 0   finished 0.7500  lr=0.5  best so far 0.7500\n"),
        ("auto", True, "trial 0   finished 0.7500  lr=0.5"),
    ],
)
def test_the_display_follows_while_the_sweep_runs(write_sweep, monkeypatch, mode, at_a_terminal, said):
    sweep, out = write_sweep([LR], [[]]), io.StringIO()
    made = partial(Console, file=out, width=150, force_terminal=at_a_terminal, color_system=None)
    monkeypatch.setattr(terminal, "Console", made)
    monkeypatch.setattr(terminal, "POLL_SECONDS", 0.001)
    with progress(sweep.folder, sweep.plan, mode):
        Journal(sweep.folder.journal).append([queued(0), {"event": "finished", "trial": 0, "score": 0.75}])
        wait_for(lambda: said in out.getvalue())
    assert ("best so far\n" in re.sub(" +\n", "\n", out.getvalue())) == (mode == "auto" and at_a_terminal)


def test_nothing_is_shown_where_nothing_is_asked_for(write_sweep, capsys):
    sweep = write_sweep([LR], [[]])
    with progress(sweep.folder, sweep.plan, "none"):
        Journal(sweep.folder.journal).append([queued(0), {"event": "failed", "trial": 0, "error": "broken"}])
    assert capsys.readouterr() == ("", "")


def test_the_best_of_a_short_round_is_told_apart_from_the_best_at_full_length(two_rounds, show):
    """A trial of one epoch may score more than any at full length, and is not the best for that."""
    shown, out = show(two_rounds, "lines")
    shown.poll()
    seen = len(out.getvalue())
    journal = Journal(two_rounds.folder.journal)
    journal.append([queued(11, "0.7"), {"event": "finished", "trial": 11, "score": 0.99}])
    journal.append([queued(12, "0.7", 1, epochs=2), {"event": "finished", "trial": 12, "score": 0.5}])
    shown.poll()
    first, last = [line for line in out.getvalue()[seen:].splitlines() if "finished" in line]
    assert first.endswith("lr=0.7  best of round 1 0.9900, best at full length 0.9600")
    assert last.endswith("lr=0.7  best of round 2 0.9500, best at full length 0.9600")


def test_time_left_follows_from_the_epochs_left_at_the_pace_so_far(write_sweep, show, monkeypatch):
    trials = [({"lr": f"0.{n}"}, 0.5, "finished") for n in range(1, 5)]
    sweep = write_sweep([LR, LR], [trials, [trials[0]]], num_finalists=1, num_final_seeds=2)
    shown, out = show(sweep, "lines")
    assert shown.clock.work == 4 * 1 + 1 * 2 + 2 * 2  # round 1, round 2 and the finals
    began = shown.clock.began
    monkeypatch.setattr("time.monotonic", lambda: began + 60)
    shown.poll()
    assert (
        out.getvalue().splitlines()[-1] == "  5 of 5 queued trials have ended  1:00 elapsed  0:40 left"
    )  # 4 at 6 a minute
    shown.poll()
    assert out.getvalue().count("elapsed") == 1  # until another half minute has passed
