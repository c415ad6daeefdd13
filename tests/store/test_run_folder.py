"""A run's folder: the contract's files, whole or not at all."""

import json
import math
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import runner
from runner import files
from runner.errors import UserError
from runner.store import RunFolder
from runner.store.run_folder import read_metrics, read_record, to_plain
from runner.store.run_index import find_runs


def test_a_run_leaves_exactly_the_folder_of_the_contract(train):
    run = train("model=linear", "engine.epochs=2")
    assert run.folder.name == "0001-epochs=2"
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
        ".lock",
    }
    assert names == files | {events}
    assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {
        "last.pt",
        "best.pt",
        "manifest.json",
    }


def test_run_json_has_the_fields_of_the_contract(train):
    run = train("model=linear", "engine.epochs=2", "name=mine")
    record = json.loads((run.folder / "run.json").read_text())
    names = {
        "process",
        "host",
        "id",
        "name",
        "status",
        "started",
        "finished",
        "seconds",
        "command",
        "overrides",
        "metrics",
        "error",
    }
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


def test_epochs_are_forgotten_from_where_a_run_goes_on(tmp_path):
    folder = RunFolder(tmp_path, {"id": "a"})
    folder.rewind_metrics(1)  # before there are any
    assert folder.metrics == []
    for epoch in (1, 2, 3):
        folder.append_metrics({"epoch": epoch, "val/loss": float("nan") if epoch == 2 else 0.5})
    assert [record["val/loss"] for record in folder.metrics] == [0.5, None, 0.5]
    folder.rewind_metrics(2)
    assert [record["epoch"] for record in folder.metrics] == [1, 2]


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}/none: no such folder; expected a run's path"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(UserError, match=rf"^{tmp_path}: not a run's folder \(it has no run.json\)"):
        RunFolder.open(tmp_path)


def test_one_process_alone_trains_in_a_folder(tmp_path):
    folder = RunFolder.create(tmp_path, "digits", ["model=mlp", "name=a b"], {"model": "mlp"}, {"device": "cpu"})
    assert folder.record["command"] == "runner train model=mlp 'name=a b'"
    code = "import sys; from pathlib import Path; from runner.store import RunFolder; "
    code += "RunFolder(Path(sys.argv[1]), {}).lock()"

    def tried():  # by another process, for a lock is the process's own
        return subprocess.run([sys.executable, "-W", "error", "-c", code, tmp_path], capture_output=True, text=True)

    assert f"UserError: {tmp_path}: another process is training in this folder; wait for it" in tried().stderr
    assert "ResourceWarning" not in tried().stderr
    folder.unlock()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    half = folder.path / f".run.json.{ended.pid}.tmp"
    half.touch()
    assert tried().returncode == 0
    assert not half.exists(), "what a killed process left half written is gone"


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


@pytest.mark.parametrize("lacking", [None, "id", "name", "status"])
def test_a_record_needs_an_id_a_name_and_a_status_and_no_more(tmp_path, lacking):
    record = {key: "x" for key in ("id", "name", "status") if key != lacking}
    (tmp_path / "run.json").write_text(json.dumps(record))
    if lacking is None:
        assert read_record(tmp_path, "run.json") == record
    else:
        with pytest.raises(UserError, match=r"run\.json: cannot be read \(not the record of a run or a sweep\)"):
            read_record(tmp_path, "run.json")


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("overrides", [[[]]], "overrides must be text"),
        ("round", {"index": 0, "kind": {}}, "round must be"),
        ("choices", {"tta": {"_target_": "os.system"}}, "choices must be text"),
        ("config_folders", 3, "config_folders must be a list"),
        ("seconds", "1", "seconds must be a number"),
        ("host", None, "host must be text"),
        ("command", 3, "command must be text"),
    ],
)
def test_a_record_with_a_value_of_another_type_is_damaged(write_run, field, value, said):
    path = write_run("a")
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"format": 2, field: value}))
    with pytest.raises(UserError, match=said):
        RunFolder.open(path)


def test_json_that_is_nested_too_deeply_is_damaged(write_run):
    path = write_run("a")
    (path / "metrics.jsonl").write_text(DEEP)
    assert read_metrics(path) == []
    (path / "run.json").write_text(DEEP)
    with pytest.raises(UserError, match="nested too deeply"):
        RunFolder.open(path)


def test_checkpoints_behind_a_link_are_not_removed(tmp_path):
    from runner.store.run_folder import remove_checkpoints

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/last.pt").write_bytes(b"of another run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoints").symlink_to(tmp_path / "elsewhere")
    remove_checkpoints(tmp_path / "run")
    assert (tmp_path / "elsewhere/last.pt").exists()


def test_numbers_that_json_lacks_are_null_at_any_depth():
    found = to_plain({"a": [1.5, math.nan, {"b": (math.inf, 2)}], "c": "nan", "d": -math.inf, "e": None})
    assert found == {"a": [1.5, None, {"b": [None, 2]}], "c": "nan", "d": None, "e": None}


@pytest.mark.parametrize(
    ("record", "kept", "refused"),
    [
        ({"round": {"index": 0}, "status": "finished", "finished": "now"}, [], True),
        ({"round": {"index": 0}, "status": "finished", "finished": "now"}, ["best.pt"], False),
        ({"round": {"index": 0}, "status": "failed", "finished": "now"}, [], False),
        ({"status": "finished", "finished": "now"}, [], False),  # a run of its own
    ],
)
def test_a_trial_that_kept_no_checkpoint_is_refused_with_the_way_to_have_one(write_run, record, kept, refused):
    path = write_run("a")
    whole = json.loads((path / "run.json").read_text()) | {"format": 2, "command": "runner train seed=1", **record}
    (path / "run.json").write_text(json.dumps(whole))
    (path / "checkpoints").mkdir()
    for name in kept:
        (path / "checkpoints" / name).touch()
    folder = RunFolder.open(path)
    with pytest.raises(UserError, match=r"kept no checkpoint .* runner train seed=1") if refused else nullcontext():
        folder.check_has_checkpoints()


def test_a_folder_in_which_another_process_works_is_not_waited_for_unless_asked(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path, "digits", [], {}, {})
    folder.unlock()
    waited = []
    monkeypatch.setattr(
        files, "make_lock", lambda path: SimpleNamespace(acquire=lambda timeout: waited.append(timeout))
    )
    folder.lock()
    folder.lock(3)
    assert waited == [0, 3]
