"""The trials of an application that is not ours."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from runner.errors import WorkerDied
from runner.sweep.plugin import generic as module
from runner.sweep.plugin.generic import AnyTask
from runner.sweep.record.trial import TrialRecord
from tests.sweep.jobs import returned


@pytest.mark.parametrize(
    ("status", "value", "ends"),
    [
        (JobStatus.COMPLETED, 0.5, [("finished", 0.5)]),
        (JobStatus.COMPLETED, "no number", [("finished", None)]),
        (JobStatus.FAILED, ValueError("wrong"), [("failed", None)]),
        (JobStatus.FAILED, WorkerDied("gone"), []),
    ],
)
def test_a_job_that_returned_has_finished_and_one_whose_worker_died_runs_again(status, value, ends):
    found = AnyTask([]).unrecorded_ends([TrialRecord(0, 0, {}, None, 1, "")], returned(status, value))
    assert [(event["event"], event.get("score")) for event in found] == ends


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """`sweep("x=1,2", score=lambda x: x)`: what the jobs of an application returned, and which there were."""

    @contextmanager
    def launching(context, task, whole):
        def launch(jobs, first):
            sweep.launched.append((first, [list(words) for words in jobs]))
            returns = []
            for words in jobs:
                (x,) = [float(word.partition("=")[2]) for word in words if word.startswith("x=")]
                try:
                    returns.append(returned(JobStatus.COMPLETED, sweep.score(x)))
                except ValueError as error:
                    returns.append(returned(JobStatus.FAILED, error))
            return returns

        yield SimpleNamespace(launch=launch)

    def sweep(*words, score=lambda x: x, size=None):
        sweep.score, sweep.launched = score, []
        whole = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "multirun/it")}}})
        found = module.sweep_any_application(list(words), size, SimpleNamespace(config_loader=None), None, whole)
        return [job.return_value for batch in found for job in batch]

    monkeypatch.setattr(module, "launcher", launching)
    return sweep


def records(tmp_path):
    (path,) = tmp_path.glob("multirun/it/runner/*/sweep.json")
    events = [json.loads(line) for line in (path.parent / "journal.jsonl").read_text().splitlines()]
    return json.loads(path.read_text()), events


def test_choices_are_one_round_of_all_combinations_and_what_is_shared_comes_along(sweep, tmp_path):
    assert sorted(sweep("x=1,2", "y=a,b", "z=5", "x=3,4")) == [3, 3, 4, 4]
    ((first, jobs),) = sweep.launched
    assert first == 0
    assert {tuple(sorted(words)) for words in jobs} == {(f"x={x}", f"y={y}", "z=5") for x in (3, 4) for y in "ab"}
    assert (tmp_path / "multirun/it/multirun.yaml").exists()
    record, events = records(tmp_path)
    assert (record["status"], record["name"], record["overrides"]) == (
        "finished",
        "it",
        ["x=1,2", "y=a,b", "z=5", "x=3,4"],
    )
    assert sorted(event["score"] for event in events if event["event"] == "finished") == [3, 3, 4, 4]


def test_a_range_is_searched_in_three_rounds_around_the_largest_scores(sweep):
    found = sweep("x=uniform(0,1)")
    assert [len(jobs) for _, jobs in sweep.launched] == [24, 12, 6]
    assert [first for first, _ in sweep.launched] == [0, 24, 36]
    first, last = found[:24], found[36:]
    assert sum(last) / 6 > sum(first) / 24


def test_no_more_jobs_run_at_once_than_asked_for(sweep):
    sweep("x=1,2,3", size=2)
    assert [(first, len(jobs)) for first, jobs in sweep.launched] == [(0, 2), (2, 1)]


def test_what_a_job_raised_is_raised_when_all_have_run(sweep, tmp_path):
    def score(x):
        if x == 1:
            raise ValueError("one is too few")
        return x

    with pytest.raises(ValueError, match="one is too few"):
        sweep("x=1,2,3", score=score)
    _, events = records(tmp_path)
    assert [event["event"] for event in events].count("finished") == 2
    assert [event["trial"] for event in events if event["event"] == "failed"] == [0]


def test_a_trials_words_take_the_place_of_shared_ones():
    trial = TrialRecord(0, 0, {"x": "3"}, None, None, "")
    assert AnyTask(["x=1", "y=2"]).job_overrides([trial], None) == ["x=3", "y=2"]


def test_a_trial_that_ended_has_no_second_end():
    made = returned(JobStatus.COMPLETED, 0.5)
    trials = [TrialRecord(0, 0, {}, None, 1, "", status=status) for status in ("finished", "started")]
    assert len(AnyTask([]).unrecorded_ends(trials, made)) == 1
