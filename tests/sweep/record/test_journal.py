"""The journal: nothing is lost, nothing half is read."""

import json
import multiprocessing

import pytest

from runner.errors import UserError
from runner.sweep.record import journal as module
from runner.sweep.record.journal import Journal, seconds_until
from runner.sweep.record.trial import TrialRecord

QUEUED = {"event": "queued", "round": 0, "point": {"lr": "1"}, "seed": None, "folder": "trials/0000", "epochs": 2}


def event(name, trial=0, **more):
    return {"event": name, "trial": trial, **more}


def trials(journal):
    journal.refresh()
    return journal.trials


def test_trials_follow_the_events(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, QUEUED | {"trial": 1}])
    journal.append([event("started")])
    journal.append(
        [event("waiting", score=0.5, seconds=1.5), event("started"), event("finished", score=0.7, seconds=2)]
    )
    first, second = trials(journal).values()
    assert (first.status, first.score, first.half_score, first.num_starts, first.seconds) == (
        "finished",
        0.7,
        0.5,
        2,
        3.5,
    )
    assert (second.status, second.ended) == ("queued", False)


def lines(path):
    """The events as any program reads them."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_cut_short_is_not_read_and_the_next_writer_removes_it(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}])
    with journal.path.open("a") as file:
        file.write('{"event": "finished", "trial": 0, "sc')
    assert trials(journal)[0].status == "queued"
    journal.append([event("started")])
    assert [found["event"] for found in lines(journal.path)] == ["queued", "started"]


@pytest.mark.parametrize(
    "damage",
    [
        "garbage{",
        '{"event": "finished"}',
        "[1]",
        '{"time": "2026-01-01T00:00:00", "event": 3, "trial": 0}',
        '{"time": "2026-01-01T00:00:00", "event": "finished", "trial": 0, "score": "0.5"}',
    ],
)
def test_a_damaged_line_is_named(tmp_path, damage):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}])
    with journal.path.open("a") as file:
        file.write(damage + "\n")
    with pytest.raises(UserError, match=r"journal\.jsonl: line 2 is damaged; restore the file from a copy"):
        journal.refresh()


@pytest.mark.parametrize(
    "wrong", [{"seed": "1"}, {"epochs": 1.5}, {"round": "0"}, {"point": {"lr": 1}}, {"folder": 3}, {"signature": 4}]
)
def test_a_queued_trial_whose_fields_are_of_other_types_is_damage(tmp_path, wrong):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0} | wrong])
    with pytest.raises(UserError, match=r"journal\.jsonl: line 1 is damaged"):
        journal.refresh()


def test_an_event_of_a_trial_that_was_never_queued_is_damage(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, event("started") | {"trial": 1}])
    with pytest.raises(UserError, match=r"journal\.jsonl: line 2 is damaged"):
        journal.refresh()


def test_events_of_the_sweep_are_no_trials(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, {"event": "resumed", "trial": None, "seconds_before": 3.0}])
    assert list(trials(journal)) == [0]


def test_seconds_go_on_from_where_a_sweep_was_resumed():
    def at(name, time, **more):
        return {"event": name, "trial": 0, "time": f"2026-01-01T00:{time}", **more}

    events = [at("queued", "00:10"), at("started", "00:15")]
    assert seconds_until(events) == 5
    # The clock was set back, and how long the sweep had run is not known.
    assert seconds_until([at("resumed", "40:00", seconds_before=0.0), at("finished", "39:00")]) == 0
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
    assert TrialRecord(0, 0, {}, None, 1, "", error=error).reason == reason


def test_what_is_known_of_a_trial_outlives_events_that_say_nothing_of_it():
    trial = TrialRecord(0, 0, {}, None, 1, "")
    for event in ({"event": "failed", "error": "broken", "score": 0.5}, {"event": "started"}):
        trial.follow(event)
    assert (trial.status, trial.error, trial.score, trial.num_starts) == ("started", "broken", 0.5, 1)


def test_reading_goes_on_from_where_it_left_off(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}])
    assert len(journal.refresh()) == 1
    journal.append([event("started")])
    assert [found["event"] for found in journal.refresh()] == ["started"]
    assert journal.refresh() == []
    assert (journal.num_events, journal.trials[0].status) == (2, "started")


def test_a_sweep_of_many_trials_is_read_once(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal.jsonl")
    parsed = []
    parse = json.loads
    monkeypatch.setattr(module.json, "loads", lambda line: parsed.append(line) or parse(line))
    for number in range(50):
        journal.append([QUEUED | {"trial": number}, event("started", number), event("finished", number, score=1.0)])
        journal.refresh()
    assert len(parsed) == 150
    assert journal.counts["finished"] == 50
    assert journal.counts["started"] == 0


@pytest.mark.parametrize(("scores", "least", "greatest"), [((0.5, 0.0, 0.2), 1, 0), ((-0.5, 0.0, -0.2), 0, 1)])
def test_the_least_and_the_greatest_score_of_a_round_are_known(tmp_path, scores, least, greatest):
    journal = Journal(tmp_path / "journal.jsonl")
    for number, score in enumerate(scores):
        journal.append([QUEUED | {"trial": number}, event("started", number), event("finished", number, score=score)])
    journal.append([QUEUED | {"trial": 3}, event("started", 3), event("diverged", 3, score=9.0)])
    journal.refresh()
    assert [trial.trial for trial in journal.extremes[0]] == [least, greatest]


def test_at_each_event_the_trials_stand_as_they_did_then(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, event("started"), event("finished", score=0.5)])
    seen = [(found["event"], journal.trials[0].status) for found in journal.new_events()]
    assert seen == [("queued", "queued"), ("started", "started"), ("finished", "finished")]


def test_another_file_in_its_place_is_read_from_the_beginning(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, event("started")])
    journal.refresh()
    journal.path.unlink()
    journal.append([QUEUED | {"trial": 7}])
    journal.refresh()
    assert list(journal.trials) == [7]
    assert journal.num_events == 1


def test_trials_of_one_round_and_signature_are_counted(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    signatures = ["a", "b", "a", None]
    journal.append(QUEUED | {"trial": number, "signature": name} for number, name in enumerate(signatures))
    journal.append([QUEUED | {"trial": 4, "signature": "a", "round": 1}])
    journal.refresh()
    assert (journal.num_alike[0, "a"], journal.num_alike[0, "b"], journal.num_alike[1, "a"]) == (2, 1, 1)


def test_the_first_failure_is_remembered(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, QUEUED | {"trial": 1}])
    journal.append([event("failed", 1, error="first"), event("failed", 0, error="second")])
    journal.refresh()
    assert (journal.first_failed.trial, journal.first_failed.reason) == (1, "first")


def test_the_command_line_of_a_trial_has_its_point_its_seed_and_its_epochs():
    trial = TrialRecord(3, 0, {"optimizer.lr": "0.1", "reg": "[l2,dropout]"}, 7, 5, "trials/0003")
    assert trial.overrides == ["optimizer.lr=0.1", "reg=[l2,dropout]", "seed=7", "engine.epochs=5"]
    assert TrialRecord(3, 0, {"lr": "1"}, None, None, "").overrides == ["lr=1"]


def test_a_value_that_json_has_not_becomes_null(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([QUEUED | {"trial": 0}, event("diverged", score=float("nan"))])
    assert lines(journal.path)[1]["score"] is None


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
    events = lines(path)
    assert [sum(found["trial"] == trial for found in events) for trial in range(count)] == [50] * count
