"""The benchmarks run; what they measure is not the tests' to judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(script, *words):
    command = [sys.executable, ROOT / "scripts" / script, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_step_is_measured_beside_the_bare_loop(tmp_path):
    out = run("bench", "step", "--quick", "--output", tmp_path / "it.json")
    rows = json.loads((tmp_path / "it.json").read_text())["step"]
    assert {"bare loop", "runner"} <= {row["by"] for row in rows}
    assert all(row["us a step"] > 0 for row in rows)
    assert [row["to bare"] for row in rows if row["by"] == "bare loop"] == [1.0]
    assert "| MLP, digits | runner |" in out


def test_search_beats_a_single_random_point_on_the_bowl(tmp_path):
    out = run("bench_search", "--quick", "--only", "bowl", "--output", tmp_path / "it.json")
    regrets = json.loads((tmp_path / "it.json").read_text())["regrets"]["bowl"]
    assert {"coarse to fine", "random search"} <= set(regrets)
    assert all(0 <= regret < 1 for regret in regrets["coarse to fine"]), "a random point's is 2 at the median"
    assert "| coarse to fine | " in out
