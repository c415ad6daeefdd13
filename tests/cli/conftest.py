"""Runs the real command in a process of its own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


class Command:
    """`runner("train", "seed=1")` gives the finished process; its output is text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "200"}

    def start(self, *words: str, **options) -> subprocess.Popen:
        words = [str(word) for word in words]
        return subprocess.Popen(
            [sys.executable, "-m", "runner", *words],
            cwd=self.folder,
            env=self.environment | options.pop("env", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, *words: str, status: int | None = 0, **options) -> subprocess.CompletedProcess:
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=200)
        if status is not None:
            assert process.returncode == status, f"exit status {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def runs(self) -> list[Path]:
        """The folders of all runs so far, oldest first."""
        return sorted((path.parent for path in self.folder.glob("outputs/*/*/run.json")), key=lambda p: p.name)


@pytest.fixture
def runner(tmp_path):
    return Command(tmp_path)
