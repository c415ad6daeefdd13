"""docs/techniques.md says what the YAML files say."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner import config
from runner.command.options import options
from runner.config_folders import group_descriptions

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/techniques.md"


def list_techniques(*words):
    return subprocess.run(
        [sys.executable, ROOT / "scripts/list_techniques", *words], capture_output=True, text=True, timeout=100
    )


def test_the_document_is_up_to_date():
    done = list_techniques("--check")
    assert done.returncode == 0, done.stderr


def test_check_notices_a_changed_copy_and_leaves_it_alone(tmp_path):
    copy = tmp_path / "techniques.md"
    changed = DOCUMENT.read_text().replace("`optimizer.momentum=0.9`", "`optimizer.momentum=0.8`")
    copy.write_text(changed)
    done = list_techniques("--check", "--output", copy)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("To update it, run: scripts/list_techniques")
    assert copy.read_text() == changed


@pytest.mark.slow
def test_check_notices_a_missing_file(tmp_path):
    assert list_techniques("--check", "--output", tmp_path / "none.md").returncode == 1


@pytest.mark.parametrize("group", [group for group, _ in group_descriptions([config.folder()])])
def test_every_option_and_every_key_is_listed(group):
    text = DOCUMENT.read_text()
    members = options([config.folder()], group)
    for option in members:
        if len(members) > 1:
            assert f"| `{group}={option.name}` |" in text
        for key, _, _ in option.keys:
            assert f"`{key}=" in text or f"`{key}`" in text
