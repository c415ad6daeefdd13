"""The comparisons are drawn, and docs/comparisons.md quotes their numbers."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures/comparisons"
NAMES = ["optimizers", "learning_rates", "step_drops", "activations", "regularizers", "schedules"]


def draw_comparisons(*words):
    return subprocess.run(
        [sys.executable, ROOT / "scripts/draw_comparisons", *words], capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
def test_draws_pictures_and_writes_their_numbers(tmp_path):
    done = draw_comparisons("--quick", "--output", tmp_path, "optimizers", "schedules")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{suffix}" for name in ("optimizers", "schedules") for suffix in ("png", "md")
    }
    for name in ("optimizers", "schedules"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert 1000 <= picture.width <= 1400
            assert len(picture.convert("RGB").getcolors(2**24)) > 8
        assert (tmp_path / f"{name}.md").read_text().count("\n") > 3


def test_an_unknown_picture_is_named_with_those_there_are(tmp_path):
    done = draw_comparisons("optimizer", "--output", tmp_path)
    assert done.returncode == 2
    assert "optimizer: no such picture; expected one of optimizers" in done.stderr


@pytest.mark.slow
def test_quick_pictures_never_replace_the_real_ones():
    done = draw_comparisons("--quick", "schedules")
    assert done.returncode == 2
    assert "--output" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_document_shows_each_picture_with_its_numbers_and_command(name):
    text = (ROOT / "docs/comparisons.md").read_text()
    assert f"## {name}\n" in text
    assert f"(pictures/comparisons/{name}.png)" in text
    assert f"scripts/draw_comparisons {name}\n" in text
    assert (PICTURES / f"{name}.md").read_text() in text


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_small_files(name):
    assert (PICTURES / f"{name}.png").stat().st_size < 150_000
