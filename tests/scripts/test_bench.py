"""Every benchmark runs and writes its rows; how fast things are is not the tests' to judge."""

import argparse
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts/bench"
SHARED = {"__init__", "harness", "supervise", "ledger", "gpu_parts"}


@pytest.fixture(scope="module")
def run():
    """The command as a module, so that the tables share one process."""
    loader = SourceFileLoader("bench_run", str(FOLDER / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def quick(run, tmp_path, capsys):
    """`quick("step", "--only", "MLP")`: the rows of a quick run, and the printed text."""

    def measure(name, *options):
        path = tmp_path / "out.json"
        run.main([name, "--quick", *options, "--output", str(path)])
        content = json.loads(path.read_text())
        assert set(content) == {"date", "hardware", "versions", "command", "tables"}
        assert content["command"].startswith(f"scripts/bench/run {name} --quick")
        assert {"python", "torch", "runner"} <= set(content["versions"])
        printed = capsys.readouterr().out
        assert f"\n## {name}\n" in printed
        return content["tables"][name], printed

    return measure


def command(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)


def assert_numbers(rows, *columns):
    """Every row has a number above 0 in these columns, and the wall and CPU seconds of its turns."""
    assert rows
    for row in rows:
        for column in columns:
            assert isinstance(row[column], float)
            assert 0 < row[column] < math.inf
        assert all(len(turn) == 2 for turn in row["turns"])


def assert_base(rows, base, *columns):
    """The base of the ratios has the ratio 1."""
    found = [[row[column] for column in columns] for row in rows if base in row.values()]
    assert found
    assert all(ratios == [1.0] * len(columns) for ratios in found)


def test_the_list_of_the_tables_is_what_the_folder_holds(run):
    assert set(run.TABLES) == {path.stem for path in FOLDER.glob("*.py")} - SHARED


def test_without_a_name_every_table_says_in_one_line_what_it_measures(run, capsys):
    run.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(run.TABLES)
    assert all(len(line) <= 120 and line.endswith(".") for line in lines)


def test_the_list_is_printed_without_loading_torch():
    code = f"import runpy, sys; sys.argv = ['run']; runpy.run_path({str(FOLDER / 'run')!r}, run_name='__main__')"
    done = command("-c", code + "; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout


def test_a_table_that_does_not_exist_is_answered_with_those_that_do():
    assert os.access(FOLDER / "run", os.X_OK)
    done = command(FOLDER / "run", "steps")
    assert done.returncode == 2
    assert "steps: no such table; there are step, sweep" in done.stderr


def test_a_case_that_does_not_exist_is_answered_with_those_that_do(quick):
    with pytest.raises(SystemExit, match=r"--only CNN: no case begins so; there are MLP, digits; ConvNet"):
        quick("step", "--only", "CNN")


def test_steps_are_measured_beside_the_bare_loop(quick):
    rows, printed = quick("step")
    assert {row["by"] for row in rows} == {"bare loop", "runner", "runner, everything switched off"}
    assert_numbers(rows, "us a step", "CPU us a step", "to bare", "CPU to bare")
    assert_base(rows, "bare loop", "to bare", "CPU to bare")
    assert "| MLP, digits | runner |" in printed


@pytest.mark.slow
def test_sweeps_are_measured_by_default_settings_and_one_by_one(quick):
    rows, _ = quick("sweep")
    assert [row["by"] for row in rows] == ["runner", "runner, one by one"]
    assert_numbers(rows, "trials a second", "CPU seconds a trial", "times one by one", "CPU to one by one")
    assert_base(rows, "runner, one by one", "times one by one", "CPU to one by one")


@pytest.mark.slow
def test_the_start_of_commands_is_measured(quick):
    *commands, job = quick("start")[0]
    assert_numbers(commands, "seconds", "CPU seconds")
    assert math.isfinite(job["seconds"]), "a difference of two commands may come out below 0"


def test_observers_are_measured_beside_none(quick):
    rows, _ = quick("observers")
    assert_numbers(rows, "seconds", "CPU seconds", "to both off", "CPU to both off")
    assert_base(rows, "both switched off", "to both off", "CPU to both off")
    assert any(row["observers"].startswith("the default") for row in rows)


def test_loading_is_measured_beside_torchvision(quick):
    rows, _ = quick("data")
    assert {row["augmentation"] for row in rows} == {"no augmentation", "crop and flip"}
    assert_numbers(rows, "images a second", "CPU us an image", "times torchvision", "CPU to torchvision")
    assert_base(rows, "torchvision, worker processes", "times torchvision", "CPU to torchvision")


@pytest.mark.slow
def test_short_trials_are_measured_beside_their_training(quick):
    rows, _ = quick("trials")
    assert [row["trials"] for row in rows] == [1, 3]
    assert all(0 < row["largest memory MiB"] < math.inf and row["CPU seconds"] > 0 for row in rows)
    assert all(row["of it training"] > 0 and row["kB per trial"] > 0 for row in rows[1:])


def test_reading_jpeg_files_is_measured_beside_torchvision(quick):
    rows, _ = quick("files")
    assert_numbers(rows, "images a second", "CPU ms an image", "times torchvision", "CPU to torchvision")
    assert_base(rows, "torchvision", "times torchvision", "CPU to torchvision")


def test_the_bookkeeping_of_a_sweep_is_measured_at_several_sizes(quick, tmp_path):
    rows, _ = quick("scale", "--only", "sweep", "--figure", str(tmp_path / "scale.png"))
    assert_numbers(rows, "seconds", "CPU seconds", "to first", "CPU to first")
    assert [row["size"] for row in rows if row["what"] == "sweep: reading the journal"] == [2, 4]
    with Image.open(tmp_path / "scale.png") as picture:
        assert picture.width > 500


@pytest.mark.slow
def test_compare_and_metrics_are_measured_at_several_sizes(quick):
    rows, _ = quick("scale", "--only", "compare", "board", "metrics")
    assert_numbers(rows, "seconds", "CPU seconds", "to first", "CPU to first")
    runs = [(2, "runs"), (4, "runs")]
    assert [(row["size"], row["of"]) for row in rows] == [*runs, *runs, (2, "epochs"), (4, "epochs")]


@pytest.mark.slow
def test_the_resume_of_a_finished_sweep_is_measured(quick):
    assert_numbers(quick("scale", "--only", "resume")[0], "seconds", "CPU seconds")


def test_the_record_recipe_is_measured_with_and_without_logs(quick):
    rows, _ = quick("airbench")
    assert [row["by"] for row in rows] == ["runner", "runner, everything switched off"]
    assert_numbers(rows, "seconds", "CPU seconds", "to the first", "CPU to the first")
    assert rows[0]["accuracy"] == rows[1]["accuracy"], "what is switched off changes no weights"


def test_the_search_beats_a_single_random_point_on_the_bowl(quick):
    rows, printed = quick("search", "--only", "bowl")
    assert_numbers(rows, "seconds", "CPU seconds")
    regrets = {row["method"]: row["regret"] for row in rows}
    assert {"runner", "random search"} <= set(regrets)
    assert 0 <= regrets["runner"] < 1, "a random point's is 2 at the median"
    assert "| bowl | 240 | runner |" in printed


@pytest.mark.slow
def test_the_search_trains_on_the_digits(quick):
    rows, _ = quick("search", "--only", "digits")
    assert min(row["regret"] for row in rows) == 0, "the best is the best that any method named"


@pytest.mark.parametrize("options", [[], ["--sample"]])
def test_cpu_time_counts_a_process_that_outlives_its_parent(options):
    orphan = "import time\nwhile time.process_time() < 1: pass"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}])"
    done = command(FOLDER / "supervise.py", *options, sys.executable, "-c", parent)
    assert json.loads(done.stdout)["cpu"] > (0.5 if options else 1)


ABOUT = {"hardware": {"cpu": "one"}, "command": "scripts/bench/run gpu --quick"}


def test_rows_of_the_gpu_table_stand_in_the_file_at_once_and_those_that_failed_are_measured_again(run, tmp_path):
    from bench.ledger import Ledger

    path = tmp_path / "gpu.json"
    ledger = Ledger(path, 8.0, ABOUT)
    assert 0 < ledger.left() <= 8
    for number, row in enumerate([{"us": 5.0}, {"error": "a fault"}, {"skipped": True}], 1):
        ledger.add("step", f"case {number}", [row])
        assert len(json.loads(path.read_text())["tables"]["gpu"]) == number, "a crash now would lose nothing"
    assert [entry.name for entry in tmp_path.iterdir()] == ["gpu.json"]
    again = Ledger(path, 0.0, ABOUT)
    assert again.rows == [{"part": "step", "case": "case 1", "us": 5.0}]
    assert again.left() <= 0
    assert [again.has("step", f"case {number}") for number in (1, 2, 3)] == [True, False, False]
    assert not again.has("stack", "case 1")


@pytest.mark.parametrize("other", [{"hardware": {"cpu": "two"}}, {"command": "scripts/bench/run gpu"}])
def test_rows_of_the_gpu_table_are_of_one_machine_and_one_kind(run, tmp_path, other):
    from bench.ledger import Ledger

    Ledger(tmp_path / "gpu.json", 8.0, ABOUT).add("step", "one", [{"us": 5.0}])
    with pytest.raises(SystemExit, match="of another machine or of --quick; name a new file"):
        Ledger(tmp_path / "gpu.json", 8.0, {**ABOUT, **other})


# A part of the GPU table, of which one case hangs, one ends the process and one is measured.
PART = """
import json, os, sys, time
done = json.loads(sys.stdin.read())
for name in ("hangs", "ends", "works"):
    if name not in done:
        print(json.dumps({"begins": name, "seconds": 0}), flush=True)
        if name == "hangs":
            time.sleep(600)
        if name == "ends":
            sys.stderr.write("an illegal access")
            sys.stderr.flush()
            os._exit(7)
        print(json.dumps({"rows": [{"us": 5.0}]}), flush=True)
print(json.dumps({"ends": True}), flush=True)
"""


@pytest.mark.slow
def test_a_case_of_the_gpu_table_that_hangs_or_ends_its_process_costs_one_row(run, tmp_path, monkeypatch):
    from bench import gpu
    from bench.ledger import Ledger

    (tmp_path / "scripts/bench").mkdir(parents=True)
    (tmp_path / "scripts/bench/run").write_text(PART)
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "START_SECONDS", 5.0)
    ledger = Ledger(tmp_path / "gpu.json", 480.0, ABOUT)
    options = argparse.Namespace(quick=True, cifar10=None, original=None, turns=None)
    calls = 1
    while not gpu.run_part(ledger, "step", options):
        calls += 1
    assert calls == 3, "the part is started again after each of the two"
    assert ledger.rows == [
        {"part": "step", "case": "hangs", "error": "timed out", "stderr": [""]},
        {"part": "step", "case": "ends", "error": "the process ended with status 7", "stderr": ["an illegal access"]},
        {"part": "step", "case": "works", "us": 5.0},
    ]


@pytest.mark.slow
def test_every_part_of_the_gpu_table_runs_on_a_cpu(quick):
    rows, _ = quick("gpu")
    assert {row["part"] for row in rows} == {"facts", "tests", "step", "graph", "stack", "airbench", "data", "faults"}
    assert [row for row in rows if "error" in row or ("skipped" in row and row["part"] != "tests")] == []


def test_folders(quick):
    rows, printed = quick("folders")
    assert [row["by"] for row in rows] == ["runner"]
    assert_numbers(rows, "CPU seconds to start")
    # The difference of two commands, which is next to nothing here.
    assert math.isfinite(rows[0]["CPU seconds an epoch"])
    assert "| 32x32 | runner |" in printed


def test_pictures_that_are_held_out_are_a_tenth_of_each_class(run, tmp_path):
    folders = importlib.import_module("bench.folders")
    folders.write_pictures(tmp_path, 80, (8, 8))
    folders.write_held_out(tmp_path, "val")
    assert [len(list(path.iterdir())) for path in sorted((tmp_path / "val").iterdir())] == [2] * 4
