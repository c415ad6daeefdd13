"""What TensorBoard reads from a sweep's own folder."""

import errno
import json
import os
import threading
import time
from datetime import datetime

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runner.log.event_files import png_size
from runner.objective import Objective
from runner.sweep.record.journal import Journal
from runner.sweep.report import tensorboard as module
from runner.sweep.report.figures.draw import ReportFigure
from runner.sweep.report.tensorboard import SweepScalars, add_report, writing_scalars
from runner.sweep.space.space import Interval

MAX = Objective("val/accuracy", "max")
SPACE = {"lr": Interval(0.0, 1.0)}
TRIALS = [
    ({"lr": "0.1"}, 0.5, "finished"),
    ({"lr": "0.2"}, None, "diverged"),
    ({"lr": "0.3"}, 0.4, "finished"),
    ({"lr": "0.4"}, 0.3, "pruned"),
    ({"lr": "0.5"}, 0.9, "finished"),
]


def scalars(folder, name):
    events = EventAccumulator(str(folder.path), {"scalars": 0, "images": 0})
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def test_scores_and_the_best_so_far_stand_at_the_number_of_ended_trials(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    with writing_scalars(sweep.folder, MAX, True):
        pass
    assert scalars(sweep.folder, "sweep/score") == [(1, 0.5), (3, 0.4), (5, 0.9)]
    assert scalars(sweep.folder, "sweep/best") == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.9)]


def test_the_lesser_is_the_better_where_the_mode_says_so(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS], mode="min")
    with writing_scalars(sweep.folder, Objective("val/loss", "min"), True):
        pass
    assert [best for _, best in scalars(sweep.folder, "sweep/best")] == [0.5, 0.5, 0.4, 0.4, 0.4]


def test_it_is_written_while_the_sweep_runs(write_sweep, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    sweep = write_sweep([SPACE], [TRIALS])
    lines = sweep.folder.journal.read_text().splitlines(keepends=True)
    sweep.folder.journal.write_text("".join(lines[:3]))
    with writing_scalars(sweep.folder, MAX, True):
        until = time.monotonic() + 30
        while not list(sweep.folder.path.glob("events.out*")) or not scalars_so_far(sweep.folder):
            assert time.monotonic() < until
            time.sleep(0.05)
        with sweep.folder.journal.open("a") as file:
            file.write("".join(lines[3:]))
    assert [step for step, _ in scalars(sweep.folder, "sweep/best")] == [1, 2, 3, 4, 5]


def scalars_so_far(folder):
    try:
        return scalars(folder, "sweep/best")
    except KeyError:
        return []


def test_a_sweep_gone_on_with_doubles_no_step(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    whole = sweep.folder.journal.read_text()
    sweep.folder.journal.write_text("".join(whole.splitlines(keepends=True)[:9]))
    for text in (None, whole):
        if text:
            sweep.folder.journal.write_text(text)
        with writing_scalars(sweep.folder, MAX, True):
            pass
        add_report(sweep.folder, sweep.history, [ReportFigure("search_space", "", picture())])
    assert [step for step, _ in scalars(sweep.folder, "sweep/score")] == [1, 3, 5]
    assert len(images(sweep.folder)) == 1


def test_an_end_told_twice_counts_once(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    events = Journal(sweep.folder.journal).refresh()
    summary = SweepScalars(sweep.folder, MAX)
    summary.follow(events)
    summary.follow([event for event in events if event["event"] == "finished"])
    summary.close()
    assert len(scalars(sweep.folder, "sweep/score")) == 3


def test_nothing_is_written_where_it_is_not_wanted(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    with writing_scalars(sweep.folder, MAX, False):
        pass
    assert not list(sweep.folder.path.glob("events*"))


def test_a_summary_that_fails_is_a_warning(write_sweep, monkeypatch, capsys):
    sweep = write_sweep([SPACE], [TRIALS])
    monkeypatch.setattr(module, "EventWriter", lambda path: json.loads("nothing"))
    with writing_scalars(sweep.folder, MAX, True):
        pass
    assert "TensorBoard's scalars could not be written (JSONDecodeError" in capsys.readouterr().err


def test_pictures_are_there_as_they_were_drawn(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    figures = [ReportFigure("search_space", "", picture()), ReportFigure("slice", "", reason="none")]
    add_report(sweep.folder, sweep.history, figures)
    (image,) = images(sweep.folder)
    assert (image.step, image.width, image.height) == (5, 30, 20)
    assert image.encoded_image_string == picture()


def images(folder):
    events = EventAccumulator(str(folder.path), {"images": 0})
    events.Reload()
    assert events.Tags()["images"] == ["sweep/search_space"]
    return events.Images("sweep/search_space")


def picture():
    import io

    from matplotlib.figure import Figure

    png = io.BytesIO()
    Figure(figsize=(0.3, 0.2)).savefig(png, dpi=100, format="png")
    return png.getvalue()


@pytest.mark.parametrize("size", [(30, 20)])
def test_the_size_of_a_picture_is_known(size):
    assert png_size(picture()) == size


@pytest.mark.parametrize(("number", "warned"), [(errno.ENOSPC, False), (errno.EACCES, True)])
def test_where_a_full_disk_ended_the_sweep_nothing_more_is_written(write_sweep, monkeypatch, capsys, number, warned):
    sweep = write_sweep([SPACE], [TRIALS])
    monkeypatch.setattr(module.SweepScalars, "poll", lambda self: 1 / 0)
    with pytest.raises(OSError, match=os.strerror(number)), writing_scalars(sweep.folder, MAX, True):
        raise OSError(number, os.strerror(number))
    assert ("TensorBoard's scalars could not be written (ZeroDivisionError" in capsys.readouterr().err) is warned


def test_what_fails_on_the_way_is_told_at_the_end_and_once(write_sweep, monkeypatch, capsys):
    sweep, polled = write_sweep([SPACE], [TRIALS]), threading.Event()

    def poll(self):
        polled.set()
        raise ValueError("odd")

    monkeypatch.setattr(module.SweepScalars, "poll", poll)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    with writing_scalars(sweep.folder, MAX, True):
        assert polled.wait(20)
        time.sleep(0.1)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(module.SweepScalars, "poll", lambda self: 1 / 0)
    assert "could not be written (ValueError: odd)" in capsys.readouterr().err


def test_a_sweep_without_trials_has_no_table(write_sweep):
    sweep = write_sweep([SPACE], [[]])
    add_report(sweep.folder, sweep.history, [])
    assert not list(sweep.folder.path.glob("events*"))


def test_the_table_has_the_best_trials_first_and_those_without_a_score_last(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    add_report(sweep.folder, sweep.history, [])
    events = EventAccumulator(str(sweep.folder.path), {"tensors": 0})
    events.Reload()
    (event,) = events.Tensors("sweep/trials/text_summary")
    rows = event.tensor_proto.string_val[0].decode().splitlines()[2:]
    assert event.step == 5
    numbers = [next(cell for cell in map(str.strip, row.split("|")) if cell) for row in rows]
    assert [numbers[0], numbers[-1]] == ["4", "1"], "the trial that scored 0.9, and the one that diverged"


def test_scores_have_the_times_at_which_their_trials_ended(write_sweep):
    sweep = write_sweep([SPACE], [TRIALS])
    with writing_scalars(sweep.folder, MAX, True):
        pass
    events = EventAccumulator(str(sweep.folder.path))
    events.Reload()
    ended = [line for line in map(json.loads, sweep.folder.journal.read_text().splitlines()) if line["score"]]
    ended = [datetime.fromisoformat(line["time"]).timestamp() for line in ended if line["event"] == "finished"]
    assert [event.wall_time for event in events.Scalars("sweep/score")] == ended
