"""What a run ran on."""

import hashlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import numpy
import pytest

import runner
from runner.store import now
from runner.store.environment import PACKAGES, code, environment


@pytest.fixture
def fresh():
    """Looked up anew, and again for who comes next."""
    environment.cache_clear()
    yield
    environment.cache_clear()


def test_versions_and_machine_are_noted(fresh):
    found = environment("cpu")
    assert found["packages"].keys() == set(PACKAGES)
    assert found["packages"]["numpy"] == numpy.__version__
    assert (found["device"], found["cpus"], found["folder"]) == ("cpu", os.cpu_count(), str(Path.cwd()))


def test_a_package_that_is_not_there_is_null(monkeypatch, fresh):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert set(environment("cpu")["packages"].values()) == {None}


def test_the_code_is_known_by_all_of_its_files():
    told = hashlib.blake2b(digest_size=8)
    package = Path(runner.__file__).parent
    for path in sorted(package.rglob("*.py")):
        told.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    assert code() == told.hexdigest()


def test_commit_and_uncommitted_changes_are_those_of_the_folder_one_is_in(tmp_path, monkeypatch, fresh):
    monkeypatch.chdir(tmp_path)
    assert (environment("cpu")["commit"], environment("cpu")["uncommitted_changes"]) == (None, False)

    def git(*words):
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *author, *words], check=True, capture_output=True)

    (tmp_path / "file").write_text("one")
    git("init")
    git("add", "file")
    git("commit", "-m", "first")
    environment.cache_clear()
    assert re.fullmatch(r"[0-9a-f]{40}", environment("cpu")["commit"])
    assert environment("cpu")["uncommitted_changes"] is False
    (tmp_path / "new").touch()  # not one of the project's files
    environment.cache_clear()
    assert environment("cpu")["uncommitted_changes"] is False
    (tmp_path / "file").write_text("two")
    environment.cache_clear()
    assert environment("cpu")["uncommitted_changes"] is True


def test_moments_are_whole_seconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", now())


def test_pythons_version_is_noted_without_its_compiler(fresh):
    assert environment("cpu")["python"] == platform.python_version()
