"""The page of runs: what leads it."""

import json

import pytest

from runner.compare.report import write_report
from runner.store.config_file import FORMAT


@pytest.mark.parametrize("error", ["RuntimeError: <b>", "Traceback:\n  File\nRuntimeError: <b>\n"])
def test_the_page_of_a_run_that_failed_says_why_in_a_line(write_run, tmp_path, error):
    write_run("a", status="failed")
    file = tmp_path / "a/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": FORMAT, "error": error}))
    assert "RuntimeError: &lt;b&gt;</p>" in write_report([tmp_path / "a"])
