"""Folders of somebody else: what is stored or lies in them is never run."""

import json
import subprocess

import pytest


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The file that hostile code would leave."""
    return tmp_path / "ran"


def test_plugins_of_the_working_folder_are_not_run(process, ran, tmp_path):
    for place in (tmp_path / "hydra_plugins", tmp_path / "hydra_plugins/hostile"):
        place.mkdir()
        (place / "__init__.py").write_text(f"open({str(ran)!r}, 'w')")
    process("train", "model=linear", "engine.max_steps=1")
    process("sweep", "model=linear", "engine.max_steps=1", "optimizer.lr=0.1,0.2", "sweep.num_workers=2")
    done = process("sweep", "model=linear", "optimizer.lr=0.1,0.2", "hydra/launcher=joblib", status=2)
    assert "hydra_plugins: the launcher's processes would run this folder" in done.stderr
    assert not ran.exists()


def test_programs_that_a_repositorys_settings_name_are_not_run(process, ran, tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    git("init", "-q")
    (tmp_path / "followed.txt").write_text("one")
    (tmp_path / ".gitattributes").write_text("*.txt filter=hostile\n")
    git("add", ".")
    git("commit", "-qm", "one")
    (tmp_path / "followed.txt").write_text("two")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    hook = tmp_path / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(program.read_text())
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "filter.hostile.clean", "filter.hostile.process", "diff.external"):
        git("config", key, str(program))
    git("config", "filter.hostile.required", "true")
    process("train", "model=linear", "engine.max_steps=1")
    assert not ran.exists()
    (environment,) = tmp_path.glob("outputs/*/*/environment.json")
    written = json.loads(environment.read_text())
    assert len(written["commit"]) == 40
    assert written["uncommitted_changes"] is True
