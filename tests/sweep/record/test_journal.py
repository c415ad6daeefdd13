"""The journal: nothing is lost, nothing half is read."""

from __future__ import annotations

import multiprocessing

import pytest

from runner.errors import UserError
from runner.sweep.record.journal import Journal, Standing, seconds_until

QUEUED = {"event": "queued", "round": 0, "overrides": ["lr=1"], "folder": "trials/0000", "epochs": 2}


def event(name, trial=0, **more):
    return {"event": name, "trial": trial, **more}


def test_standings_follow_the_events(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, QUEUED | {"trial": 1}])
    journal.append([event("started")])
    journal.append([event("paused", score=0.5, seconds=1.5), event("started"), event("finished", score=0.7, seconds=2)])
    first, second = journal.standings().values()
    assert (first.status, first.score, first.half_score, first.starts, first.seconds) == ("finished", 0.7, 0.5, 2, 3.5)
    assert (second.status, second.ended) == ("queued", False)


def test_a_line_cut_short_is_not_read_and_the_next_writer_removes_it(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}])
    with journal.path.open("a") as file:
        file.write('{"event": "finished", "trial": 0, "sc')
    assert journal.standings()[0].status == "queued"
    journal.append([event("started")])
    assert [found["event"] for found in journal.read()[0]] == ["queued", "started"]


@pytest.mark.parametrize("damage", ["garbage{", '{"event": "finished"}', "[1]"])
def test_a_damaged_line_is_named(tmp_path, damage):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}])
    with journal.path.open("a") as file:
        file.write(damage + "\n")
    with pytest.raises(UserError, match=r"journal\.jsonl: line 2 is damaged; restore the file from a copy"):
        journal.standings()


def test_events_of_the_sweep_are_no_trials(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, {"event": "resumed", "trial": None, "seconds_before": 3.0}])
    assert list(journal.standings()) == [0]


def test_seconds_go_on_from_where_a_sweep_was_resumed():
    def at(name, time, **more):
        return {"event": name, "trial": 0, "time": f"2026-01-01T00:{time}", **more}

    events = [at("queued", "00:10"), at("started", "00:15")]
    assert seconds_until(events) == 5
    events += [at("resumed", "50:00", seconds_before=6.5), at("finished", "50:04")]
    assert seconds_until(events) == 10.5


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("data.root: no folder", "data.root: no folder"),
        (
            'Traceback (most recent call last):\n  File "x"\n    f()\nRuntimeError: too big\nsecond line\n',
            "RuntimeError: too big",
        ),
        (None, "no reason given"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(error, reason):
    assert Standing(0, 0, [], "", 1, error=error).reason == reason


def test_reading_goes_on_from_where_it_left_off(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}])
    _, offset = journal.read()
    journal.append([event("started")])
    assert [found["event"] for found in journal.read(offset)[0]] == ["started"]


def test_a_value_that_json_has_not_becomes_null(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, event("diverged", score=float("nan"))])
    assert journal.read()[0][1]["score"] is None


def _write(path, trial):
    for _ in range(50):
        Journal(path).append([event("started", trial, padding="x" * 2000)])


@pytest.mark.parametrize("count", [4])
def test_processes_that_write_at_once_do_not_mix_their_lines(tmp_path, count):
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(path, trial)) for trial in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    events, _ = Journal(path).read()
    assert [sum(found["trial"] == trial for found in events) for trial in range(count)] == [50] * count
