"""The record of many jobs of one line."""

import json

import pytest

from runner.errors import UserError
from runner.store.multirun_folder import MultirunFolder

JOB = {"overrides": ["seed=1"], "status": "queued", "folder": None, "error": None}


@pytest.fixture
def folder(tmp_path):
    return MultirunFolder.create(tmp_path / "a/b", ["-m", "seed=1,2"], [["seed=1"], ["seed=2"]])


def test_a_record_has_the_line_and_its_jobs_which_are_queued(folder):
    again = MultirunFolder.open(folder.path)
    assert again.record["overrides"] == ["-m", "seed=1,2"]
    assert again.jobs == [JOB, JOB | {"overrides": ["seed=2"]}]


def test_how_a_job_stands_is_noted_beside_the_others(folder):
    folder.note(1, status="running", folder="outputs/a")
    folder.note(1, status="failed", error="odd")
    assert folder.jobs == [JOB, {"overrides": ["seed=2"], "status": "failed", "folder": "outputs/a", "error": "odd"}]


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: "{",
        lambda record: json.dumps(record | {"overrides": "seed=1"}),
        lambda record: json.dumps(record | {"jobs": ["seed=1"]}),
        lambda record: json.dumps(record | {"jobs": [JOB, JOB | {"status": 3}]}),
        lambda record: json.dumps(record | {"jobs": [JOB | {"overrides": [3]}, JOB]}),
        lambda record: json.dumps(record | {"jobs": [{"status": "queued"}]}),
        lambda record: json.dumps({"jobs": []}),
    ],
)
def test_a_damaged_record_is_told_with_its_file(folder, damage):
    file = folder.path / "jobs.json"
    file.write_text(damage(json.loads(file.read_text())))
    with pytest.raises(UserError, match=rf"^{file}: cannot be read \(.*\); restore it from a copy$"):
        MultirunFolder.open(folder.path)


def test_without_a_record_there_is_nothing_to_open(tmp_path):
    with pytest.raises(UserError, match=r"jobs\.json: cannot be read"):
        MultirunFolder.open(tmp_path)


def test_a_folder_that_is_there_gets_the_record(tmp_path):
    assert MultirunFolder.create(tmp_path, ["-m", "seed=1"], [["seed=1"]]).jobs == [JOB]
