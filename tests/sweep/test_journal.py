"""The journal: nothing is lost, nothing half is read."""

from __future__ import annotations

import multiprocessing

import pytest

from runner.sweep.journal import Journal

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
