"""README.md lists the words that there are."""

import re
from pathlib import Path

import pytest

from runner import config
from runner.command.options import options

ROWS = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", (Path(__file__).parents[1] / "README.md").read_text(), re.M))
GROUPS = sorted(path.name for path in config.folder().iterdir() if path.name in ROWS)


def test_every_group_of_techniques_has_a_row():
    groups = {path.name for path in config.folder().iterdir() if path.is_dir() and list(path.glob("[!_]*.yaml"))}
    assert groups - set(GROUPS) == {"engine", "log"}  # settings, and where results go


@pytest.mark.parametrize("group", GROUPS)
def test_a_row_lists_every_option(group):
    assert sorted(ROWS[group].split(", ")) == sorted(option.name for option in options([config.folder()], group))
