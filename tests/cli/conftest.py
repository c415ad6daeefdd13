"""Runs commands: in this process, for speed, or in a process of its own, as a user does."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner import cli


class Command:
    """`runner("train", "seed=1")` gives the finished command; its output is text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, status: int | None = 0, env: dict[str, str] | None = None):
        done = self.run([str(word) for word in words], env or {})
        if status is not None:
            assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run(self, words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
        raise NotImplementedError

    def runs(self) -> list[Path]:
        """The folders of all runs so far, oldest first."""
        return sorted((path.parent for path in self.folder.glob("outputs/*/*/run.json")), key=lambda p: p.name)


class Process(Command):
    """In a process of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "200"}
        self.started: list[subprocess.Popen] = []

    def start(self, *words: str, env: dict[str, str] | None = None, **options) -> subprocess.Popen:
        """Begin a command; what still runs at the end of the test is killed."""
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", *map(str, words)],
            cwd=self.folder,
            env=self.environment | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.started.append(process)
        return process

    def run(self, words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
        process = self.start(*words, env=env)
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.communicate()


class InProcess(Command):
    """In this process; what a command leaves behind in it is undone."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def run(self, words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
        path, modules, environment = sys.path[:], set(sys.modules), dict(os.environ)
        self.capsys.readouterr()
        try:
            with self.monkeypatch.context() as patch:
                patch.chdir(self.folder)
                patch.setattr(sys, "argv", ["runner"])
                for key, value in ({"COLUMNS": "200"} | env).items():
                    patch.setenv(key, value)
                importlib.invalidate_caches()
                with pytest.raises(SystemExit) as left:
                    cli.main(words)
        finally:
            sys.path[:] = path
            os.environ.clear()
            os.environ.update(environment)
            for name in set(sys.modules) - modules:  # the user's own, which the next test may have others of
                if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(self.folder)):
                    del sys.modules[name]
        out, err = self.capsys.readouterr()
        return subprocess.CompletedProcess(words, left.value.code or 0, out, err)


@pytest.fixture
def process(tmp_path):
    """Runs commands in processes of their own."""
    made = Process(tmp_path)
    yield made
    made.end()


@pytest.fixture
def runner(tmp_path, capsys, monkeypatch):
    """Runs commands in this process."""
    return InProcess(tmp_path, capsys, monkeypatch)
