"""Runs and sweeps in folders: which there are, how they stand, and what they take."""

import pytest

from runner.errors import UserError
from runner.files import make_lock
from runner.store.listing import Entry, entry_at, find_entries, is_locked


def test_runs_and_sweeps_are_found_in_the_order_of_their_names_and_trials_belong_to_their_sweep(write_record, tmp_path):
    write_record(tmp_path / "b/0002")
    write_record(tmp_path / "b/0001", "sweep.json")
    write_record(tmp_path / "b/0001/trials/0000")
    write_record(tmp_path / "a/0001")
    (tmp_path / "c").mkdir()
    found = [(entry.path.relative_to(tmp_path).as_posix(), entry.kind) for entry in find_entries(tmp_path)]
    assert found == [("a/0001", "run"), ("b/0001", "sweep"), ("b/0002", "run")]
    assert [entry.path.name for entry in find_entries(tmp_path / "b/0002")] == ["0002"], "also where it is named itself"


def test_a_damaged_one_is_left_out_of_all_and_told_where_it_is_named(write_record, tmp_path):
    whole, damaged = write_record(tmp_path / "0001"), write_record(tmp_path / "0002")
    (damaged / "run.json").write_text("{")
    assert [entry.path for entry in find_entries(tmp_path)] == [whole]
    with pytest.raises(UserError, match=r"run\.json"):
        entry_at(damaged)


def test_a_folder_of_something_else_is_neither(write_record, tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}: no run and no sweep; name one by its path, last, its number"):
        entry_at(tmp_path)
    entry = entry_at(write_record(tmp_path / "a", "sweep.json", status="failed"))
    assert (entry.kind, entry.status, entry.path) == ("sweep", "failed", tmp_path / "a")


def test_a_run_that_says_running_and_has_no_process_was_killed(write_record, tmp_path):
    path = write_record(tmp_path / "a", status="running")
    assert not is_locked(path)
    assert not (path / ".lock").exists(), "asking leaves nothing"
    assert entry_at(path).status == "killed"
    lock = make_lock(path / ".lock")
    with lock:
        assert is_locked(path)
        assert entry_at(path).status == "running"
    assert not is_locked(path)
    with make_lock(path / ".lock"):
        pass  # asking has let it go
    assert entry_at(write_record(tmp_path / "b", status="interrupted")).status == "interrupted"


@pytest.mark.parametrize(
    ("kind", "record", "best"),
    [
        ("run", {"objective": {"value": 0.5}, "best": {"score": 0.25}}, 0.5),
        ("sweep", {"objective": {"value": 0.5}, "best": {"score": 0.25}}, 0.25),
        ("run", {"objective": {"value": None}}, None),
        ("run", {"objective": None}, None),
        ("sweep", {"best": "0.5"}, None),
        ("sweep", {}, None),
    ],
)
def test_the_best_value_is_the_runs_or_the_sweeps_score(tmp_path, kind, record, best):
    assert Entry(tmp_path, kind, record).best == best


def test_a_run_takes_as_much_as_all_of_its_files(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.pt").write_bytes(b"x" * 1000)
    (tmp_path / "run.json").write_bytes(b"x" * 24)
    assert Entry(tmp_path, "run", {}).num_bytes == 1024
