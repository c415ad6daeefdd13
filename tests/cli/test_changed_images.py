"""Images that change between the start of a training and its going on."""

import shutil

import numpy as np
import pytest
from PIL import Image

SMALL = [
    "model=linear",
    "data=folder",
    "data.root=photos",
    "data.image_size=8",
    "data.val_fraction=0.25",
    "log.tensorboard=false",
]


@pytest.fixture
def photos(tmp_path):
    """Two classes of eight images each, of the same size in bytes."""
    numbers = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for index in range(8):
                draw(tmp_path / "photos" / split / name / f"{index}.png", numbers)
    return tmp_path / "photos/train"


def draw(path, numbers):
    Image.fromarray(numbers.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path, compress_level=0)


def swap_labels(train):
    (train / "cat").rename(train / "other")
    (train / "dog").rename(train / "cat")
    (train / "other").rename(train / "dog")


CHANGES = {
    "a class renamed": (lambda train: (train / "cat").rename(train / "cow"), "the classes changed"),
    "labels swapped": (swap_labels, "the contents of images changed"),
    "an image added": (
        lambda train: draw(train / "cat/8.png", np.random.default_rng(1)),
        "the number of images changed (16, now 17)",
    ),
    "an image removed": (lambda train: (train / "cat/3.png").unlink(), "the number of images changed (16, now 15)"),
    "an image moved to another class": (
        lambda train: (train / "cat/3.png").rename(train / "dog/8.png"),
        "the labels changed",
    ),
    "an image edited": (lambda train: draw(train / "dog/5.png", np.random.default_rng(1)), "the contents of images"),
    "an image enlarged": (
        lambda train: Image.new("RGB", (16, 16)).save(train / "dog/5.png"),
        "the names and sizes of files changed",
    ),
    "an image renamed": (
        lambda train: (train / "cat/3.png").rename(train / "cat/30.png"),
        "the names and sizes of files",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_does_not_go_on_with_other_images_unless_told_to(runner, photos, change):
    runner("train", *SMALL, "engine.epochs=1")
    (folder,) = runner.runs()
    alter, what = CHANGES[change]
    alter(photos)
    if change == "a class renamed":
        (photos.parent / "test/cat").rename(photos.parent / "test/cow")
    done = runner("resume", folder, "engine.epochs=2", status=2)
    assert done.stderr.startswith(f"runner: data: {what}")
    assert done.stderr.endswith("since the run was saved; put it back, or pass --accept-changed-data\n")
    runner("resume", folder, "engine.epochs=2", "--accept-changed-data")
    runner("resume", folder, "engine.epochs=3")


def test_the_same_images_in_another_place_are_the_same(runner, photos, tmp_path):
    runner("train", *SMALL, "engine.epochs=1")
    (folder,) = runner.runs()
    shutil.copytree(photos.parent, tmp_path / "elsewhere/copied")
    runner("resume", folder, "engine.epochs=2", "data.root=elsewhere/copied")


@pytest.mark.slow
def test_a_sweep_stops_without_a_failed_trial_when_its_images_have_changed(runner, photos, monkeypatch):
    from runner.sweep.execution import job

    words = [*SMALL, "optimizer.lr=0.1,0.2", "engine.epochs=1", "sweep.num_finalists=0", "name=it"]
    runner("sweep", *words, "sweep.rounds=[{trials: 2, epochs: 1}]")
    (path,) = (runner.folder / "outputs/it").iterdir()
    (photos / "cat/3.png").unlink()
    monkeypatch.setattr(job, "_latest", [])  # as in another process, which has read no images yet
    more = "sweep.rounds=[{trials: 2, epochs: 1},{trials: 2, epochs: 1}]"
    done = runner("resume", path, more, status=2)
    assert done.stderr.splitlines()[-1].startswith("runner: data: the number of images changed (16, now 15) since the")
    assert "failed" not in (path / "journal.jsonl").read_text()
    runner("resume", path, more, "--accept-changed-data")
    assert (path / "journal.jsonl").read_text().count('"finished"') == 4
