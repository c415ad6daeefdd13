"""Every benchmark runs and writes its rows; how fast things are is not the tests' to judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = ("step", "sweep", "start", "observers", "data", "scale", "search")  # airbench needs a download


def bench(*words):
    command = [sys.executable, ROOT / "scripts" / "bench" / "run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def values(node):
    if isinstance(node, dict):
        node = list(node.values())
    return [leaf for item in node for leaf in values(item)] if isinstance(node, list) else [node]


@pytest.mark.parametrize("table", TABLES)
def test_a_smoke_run_prints_the_table_and_writes_its_numbers(table, tmp_path):
    done = bench(table, "--quick", "--output", tmp_path / "it.json")
    assert done.returncode == 0, done.stderr
    assert "\n| " in done.stdout
    written = json.loads((tmp_path / "it.json").read_text())
    assert any(isinstance(value, float) and value > 0 for value in values(written["tables"][table]))


def test_search_beats_a_single_random_point_on_the_bowl(tmp_path):
    done = bench("search", "--quick", "--only", "bowl", "--output", tmp_path / "it.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "it.json").read_text())["tables"]["search"]
    (ours,) = (row["regret"] for row in rows if row["method"] == "runner")
    assert 0 <= ours < 1, "a random point's is 2 at the median"


def test_a_table_that_does_not_exist_is_named():
    done = bench("steps")
    assert done.returncode == 2
    assert "steps: no such table; there are step, sweep" in done.stderr
