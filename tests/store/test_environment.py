"""What a run ran on."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch

import runner
from runner.store import now
from runner.store.environment import PACKAGES, code, environment

module = sys.modules[environment.__module__]  # whose function has the same name


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


@pytest.mark.parametrize(
    ("device", "is_there", "noted"), [("cuda:1", True, True), ("cuda:1", False, False), ("cpu", True, False)]
)
def test_a_gpu_is_noted_with_its_software(monkeypatch, device, is_there, noted):
    asked = []

    class About:
        name, major, minor, total_memory = "H", 9, 0, 3 * 2**20 + 5

    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda name: asked.append(name) or About)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90100)
    monkeypatch.setattr(module, "_driver", lambda: "570.1")
    found = module._gpu(device)
    if not noted:
        assert found is None
        return
    assert asked == ["cuda:1"]
    about = {"name": "H", "capability": "9.0", "memory_mib": 3, "driver": "570.1"}
    assert found == about | {"cuda": torch.version.cuda, "cudnn": 90100}


def test_without_torch_no_gpu_is_asked_for(monkeypatch):
    monkeypatch.setattr(module, "sys", SimpleNamespace(modules={}))
    assert module._gpu("cuda") is None


def test_a_driver_is_what_its_module_says(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: f"{path} 570.1\n")
    assert module._driver() == "/sys/module/nvidia/version 570.1"

    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert module._driver() is None
