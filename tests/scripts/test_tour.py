"""docs/tour.md: its screens are of the commands beside them."""

import runpy
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
tour = runpy.run_path(str(ROOT / "scripts/draw_tour"))
BLOCKS = list(tour["BLOCK"].finditer((ROOT / "docs/tour.md").read_text()))


def test_every_command_has_its_screen_of_at_most_100_columns():
    assert {shlex.split(block["command"])[1] for block in BLOCKS} >= {"train", "sweep", "resume", "compare", "test"}
    for block in BLOCKS:
        assert block["screen"].strip()
        assert max(map(len, block["screen"].splitlines())) <= tour["WIDTH"]


MISTAKES = [block for block in BLOCKS if block["screen"].startswith("runner: ")]


@pytest.mark.parametrize("block", MISTAKES, ids=[block["command"] for block in MISTAKES])
def test_a_mistake_is_answered_as_the_page_shows(block, tmp_path, monkeypatch, capsys):
    from runner import cli

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(block["command"])[1:])
    assert ended.value.code == 2
    assert capsys.readouterr().err.replace("\n", "") == block["screen"].replace("\n", "")


def test_there_are_three_mistakes():
    assert len(MISTAKES) == 3
