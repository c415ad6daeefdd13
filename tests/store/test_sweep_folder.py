"""A sweep's folder: its record, and what has changed since it began."""

import json
import subprocess
import sys

import pytest

from runner.errors import UserError
from runner.store import SweepFolder, changes
from runner.store import sweep_folder as module
from runner.store.environment import environment

THEN = {
    "device": "cpu",
    "packages": {"torch": "2.10.0", "numpy": "2.0.0"},
    "code": "aaaa",
    "commit": "0123456789abcdef",
    "uncommitted_changes": False,
}


@pytest.fixture
def make(tmp_path):
    """`make("a", **environment)` begins a sweep in that folder, on that environment."""

    begun = []

    def begin(name="a", **now):
        (tmp_path / name).mkdir()
        folder = SweepFolder.create(tmp_path / name, "digits", ["optimizer.lr=interval(0,1)", "seed=1"], 7, THEN | now)
        begun.append(folder)
        folder.update()
        return folder

    yield begin
    for folder in begun:
        folder.unlock()


def test_a_new_sweep_is_recorded_with_the_command_that_repeats_it(make):
    folder = make()
    record = json.loads((folder.path / "sweep.json").read_text())
    assert record == folder.record
    assert (record["id"], record["name"], record["status"], record["seed"]) == ("a", "digits", "running", 7)
    assert record["command"] == "runner sweep 'optimizer.lr=interval(0,1)' seed=1"
    assert SweepFolder.open(folder.path).record == record
    assert folder.trial(12) == folder.path / "trials" / "0012"


def test_one_process_alone_holds_the_folder(make):
    folder = make()
    code = "import sys; from pathlib import Path; from runner.store import SweepFolder; "
    code += "SweepFolder.open(Path(sys.argv[1])).lock()"

    def tried():  # by another process, for a lock is the process's own
        return subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, text=True)

    assert "another process is training in this folder" in tried().stderr
    folder.unlock()
    assert tried().returncode == 0


def test_another_folder_is_no_sweep(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}: not a sweep's folder \(it has no sweep.json\)"):
        SweepFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        (
            {"packages": {"torch": "2.11.0", "numpy": "2.0.0"}},
            ["torch was 2.10.0 when the sweep began and is 2.11.0 now"],
        ),
        ({"packages": {"torch": "2.10.0"}}, ["numpy was 2.0.0 when the sweep began and is None now"]),
        ({"code": "bbbb"}, ["runner's code is another one: its digest was aaaa and is bbbb now"]),
        (
            {"commit": "fedcba9876543210"},
            ["the project was at commit 0123456789 when the sweep began and is at fedcba9876 now"],
        ),
        ({"commit": None}, ["the project was at commit 0123456789 when the sweep began and is at none now"]),
        ({"uncommitted_changes": True}, ["the project has uncommitted changes now, or had them when the sweep began"]),
        # The code's own digest says more than the commit, and the commit more than that there are changes.
        (
            {"code": "bbbb", "commit": "fedcba9876543210", "uncommitted_changes": True},
            ["runner's code is another one: its digest was aaaa and is bbbb now"],
        ),
        (
            {"commit": "fedcba9876543210", "uncommitted_changes": True},
            ["the project was at commit 0123456789 when the sweep began and is at fedcba9876 now"],
        ),
        (
            {"packages": {"torch": "3", "numpy": "2.0.0"}, "code": "bbbb"},
            [
                "torch was 2.10.0 when the sweep began and is 3 now",
                "runner's code is another one: its digest was aaaa and is bbbb now",
            ],
        ),
    ],
)
def test_what_has_changed_since_the_sweep_began_is_said(make, monkeypatch, changed, said):
    folder = make()
    monkeypatch.setattr(module, "environment", lambda device: THEN | {"device": device} | changed)
    assert changes(folder) == [f"{change}; trials from before and after may not compare" for change in said]


def test_nothing_has_changed_at_once(make):
    assert changes(make(**environment("cpu"))) == []


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_without_its_environment_nothing_is_known_of_it(make, content):
    folder = make()
    path = folder.path / "environment.json"
    path.unlink() if content is None else path.write_text(content)
    assert folder.environment == {}


def test_a_trial_that_is_a_link_is_refused_before_anything_is_written(make, tmp_path):
    folder = make()
    folder.unlock()
    (tmp_path / "outside").mkdir()
    (folder.path / "trials").mkdir()
    (folder.path / "trials/0003").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match=r"trials/0003: is a link"):
        SweepFolder.open(folder.path).lock()
    assert list((tmp_path / "outside").iterdir()) == []


def test_of_packages_that_were_not_noted_nothing_is_said(make):
    folder = make(**environment("cpu"))
    path = folder.path / "environment.json"
    noted = json.loads(path.read_text())
    del noted["packages"]
    path.write_text(json.dumps(noted))
    assert changes(folder) == []
