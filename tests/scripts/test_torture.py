"""The torture suite finds what it is to find, and a short form of each part finds nothing in runner."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts/torture"
SHARED = {"__init__", "harness", "facts", "server"}
needs_compiler = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"), reason="faults are made on Linux, with a C compiler"
)


@pytest.fixture(scope="module")
def run():
    """The command as a module."""
    before = sys.path[:]
    loader = SourceFileLoader("torture_run", str(FOLDER / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("torture_run", loader))
    loader.exec_module(module)
    yield module
    sys.path[:] = before


@pytest.fixture
def harness(run):
    from torture import harness

    return harness


@pytest.fixture
def short(run, tmp_path):
    """`short("files", rows="run killed before")`: the rows of a part, tried a few times."""

    def measure(part, rows, cases=3, seed=1):
        path = tmp_path / "out.json"
        words = ["--only", part, "--rows", rows, "--cases", str(cases), "--seed", str(seed), "--json", str(path)]
        status = run.main(words)
        content = json.loads(path.read_text())
        assert content["seed"] == seed
        assert status == any(row["losses"] for row in content["rows"])
        return content["rows"]

    return measure


def losses(rows):
    return [loss for row in rows for loss in row["losses"]]


def test_the_list_of_the_parts_is_what_the_folder_holds(run):
    assert set(run.PARTS) == {path.stem for path in FOLDER.glob("*.py")} - SHARED


def test_a_part_that_does_not_exist_is_answered_with_those_that_do():
    assert os.access(FOLDER / "run", os.X_OK)
    done = subprocess.run([FOLDER / "run", "--only", "file"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "choose from" in done.stderr
    assert "kills" in done.stderr


def test_a_row_says_how_many_were_lost_and_the_first(run, harness, tmp_path):
    torture = harness.Torture("cases", harness.Options(0, tmp_path))

    def lose(folder):
        raise harness.Loss("gone")

    torture.cases([("one", lambda folder: None), ("two", lose), ("three", lose)])
    assert (torture.row.tried, len(torture.row.losses)) == (3, 2)
    line = run.line({"part": "files", **torture.row.to_json()})
    assert "3 tried    2 lost" in line
    assert "first: two: gone (" in line
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["cases-0001", "cases-0002"]


def test_the_number_of_cases_is_a_limit(harness, tmp_path):
    torture = harness.Torture("cases", harness.Options(0, tmp_path, cases=2))
    assert torture.cases((str(number), lambda folder: None) for number in range(9)).tried == 2


def test_what_a_run_lost_is_found(run, harness, train):
    from torture import facts

    words = ["engine.keep=all", "engine.checkpoint_every_seconds=0"]
    folder = train("model=linear", "engine.epochs=2", "engine.limit_batches=2", *words).folder
    expected = facts.facts_of_run(folder)
    assert expected["wrong"] == []
    facts.compare(expected, facts.facts_of_run(folder))
    first, last = sorted(folder.glob("checkpoints/[lp]*.pt"))
    shutil.copy(last, first)
    with pytest.raises(harness.Loss, match=r"wrong: .*last\.pt does not have the checksum of the manifest"):
        facts.compare(expected, facts.facts_of_run(folder))
    events = next(folder.glob("events.out.*"))
    shutil.copy(events, events.with_name(events.name + ".0"))
    assert "TensorBoard has lr twice at step 2" in facts.facts_of_run(folder)["wrong"]
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(harness.Loss, match=r"metrics\.jsonl"):
        facts.compare(expected, facts.facts_of_run(folder))


CHANGES = "import os; f = open('a', 'wb'); f.write(b'1234'); f.close(); os.rename('a', 'b'); os.unlink('b')"


@needs_compiler
@pytest.mark.parametrize(
    ("fault", "number", "struck", "left"),
    [
        ("COUNT", 1, "create a", []),
        ("KILL", 1, "create a", []),
        ("KILL", 3, "rename a", ["a"]),
        ("KILL", 4, "unlink b", ["b"]),
        ("TORN", 1, "write a", ["a"]),
        ("FULL", 3, "rename a", ["a"]),
        ("KILL", 5, "", []),
    ],
)
def test_a_fault_comes_to_the_operation_that_is_asked_for(harness, tmp_path, fault, number, struck, left):
    library = harness.compiled_faults(tmp_path)
    (tmp_path / "below").mkdir()
    arm = (
        f"import ctypes; faults = ctypes.CDLL({str(library)!r}); faults.torture_struck.restype = ctypes.c_char_p; "
        f"faults.torture_arm({str(tmp_path / 'below').encode()!r}, 0, {number}, {harness.Fault[fault]:d})"
    )
    tell = "print(faults.torture_struck().decode())"
    done = subprocess.run(
        [sys.executable, "-c", f"{arm}\ntry:\n  {CHANGES}\nfinally:\n  {tell}"],
        cwd=tmp_path / "below",
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == {"COUNT": 0, "KILL": -9 if struck else 0, "TORN": -9, "FULL": 1}[fault], done.stderr
    if done.returncode != -9:
        assert done.stdout.strip() == struck
    assert [path.name for path in (tmp_path / "below").iterdir()] == left
    if fault == "TORN":
        assert (tmp_path / "below/a").read_bytes() == b"12"


@pytest.mark.slow
@needs_compiler
def test_a_run_that_is_killed_at_a_file_operation_loses_nothing(short):
    assert losses(short("files", "run killed", cases=2)) == []


@pytest.mark.slow
def test_a_hostile_folder_runs_nothing(short):
    assert losses(short("payloads", "foreign targets", cases=5)) == []


@pytest.mark.slow
def test_of_two_resumes_one_is_refused(short):
    assert losses(short("twice", "two resumes of a run")) == []


@pytest.mark.slow
def test_a_sweep_that_is_killed_at_a_random_moment_loses_nothing(short):
    assert losses(short("kills", "one by one", cases=2)) == []
