"""A run's folder: the contract's files, whole or not at all."""

from __future__ import annotations

import json
import re

import pytest

import runner
from runner.errors import UserError
from runner.store import RunFolder
from runner.store.run_index import find_runs


def test_a_run_leaves_exactly_the_folder_of_the_contract(train):
    run = train("model=linear", "engine.epochs=2")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}-\d+", run.folder.name)
    assert run.folder.parent.name == "digits-linear"
    names = {path.name for path in run.folder.iterdir()}
    (events,) = [name for name in names if name.startswith("events.out.tfevents.")]
    files = {
        "config.yaml",
        "config.json",
        "overrides.yaml",
        "environment.json",
        "run.json",
        "metrics.jsonl",
        "checkpoints",
    }
    assert names == files | {events}
    assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {
        "last.pt",
        "previous.pt",
        "best.pt",
        "manifest.json",
    }


def test_run_json_has_the_fields_of_the_contract(train):
    run = train("model=linear", "engine.epochs=2", "name=mine")
    record = json.loads((run.folder / "run.json").read_text())
    names = {"id", "name", "status", "started", "finished", "seconds", "command", "overrides", "metrics", "error"}
    assert names <= set(record)
    assert record["name"] == "mine"
    assert record["status"] == "finished"
    assert record["command"].startswith("runner train model=linear engine.epochs=2 name=mine")
    assert record["choices"]["model"] == "linear"
    assert set(record["objective"]) == {"name", "mode", "value", "epoch"}
    assert record["metrics"] == run.metrics[-1]
    assert run.folder.parent.name == "mine"


def test_a_crash_is_recorded_with_its_traceback_and_keeps_what_was_done(train, monkeypatch, tmp_path):
    from runner.log.tensorboard import TensorBoard

    def crash(self, state, records):
        if state.epoch == 2:
            raise RuntimeError("disk on fire")

    monkeypatch.setattr(TensorBoard, "epoch_ended", crash)
    with pytest.raises(RuntimeError, match="disk on fire"):
        train("model=linear", "engine.epochs=3")
    (path,) = tmp_path.glob("outputs/*/*")
    run = runner.load(path)
    assert run.status == "failed"
    assert "RuntimeError: disk on fire" in run.record["error"]
    assert len(run.metrics) == 2
    assert run.model()


def test_a_cut_line_of_metrics_is_left_out(train):
    run = train("model=linear", "engine.epochs=2")
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "tra')
    assert [record["epoch"] for record in runner.load(run.folder).metrics] == [1, 2]


def test_a_damaged_run_json_is_named(train):
    run = train("model=linear", "engine.epochs=1")
    (run.folder / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run.json: cannot be read"):
        RunFolder.open(run.folder)


@pytest.mark.parametrize("older", [{"format": 1}, {}])
def test_a_run_of_an_earlier_format_is_refused_and_named(train, older):
    run = train("model=linear", "engine.epochs=1")
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    assert record.pop("format") == 2
    path.write_text(json.dumps(record | older))
    with pytest.raises(UserError, match=rf"^{path}: of format 1, this version reads 2; runner compare still"):
        RunFolder.open(run.folder)
    (listed,), _ = find_runs([run.folder])
    assert listed.status == "finished"


def test_numbers_that_json_lacks_become_null(tmp_path, train):
    run = train("model=mlp", "optimizer=sgd", "optimizer.lr=1e30", "log.every_steps=1")
    assert run.status == "diverged"
    for line in (run.folder / "metrics.jsonl").read_text().splitlines():
        assert "NaN" not in line
