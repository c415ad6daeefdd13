"""The pictures that a run leaves without being asked."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.plot import history
from runner.store import RunFolder
from runner.training import figures

pytestmark = pytest.mark.figures
SMALL = ["model=linear", "engine.epochs=2", "log.tensorboard=false"]


def names(run):
    return sorted(path.name for path in (run.folder / "figures").glob("*"))


def test_a_run_leaves_curves_training_images_and_mistakes(train):
    run = train(*SMALL)
    assert names(run) == ["curves.png", "training_images.png", "val_mistakes.png"]
    for name in names(run):
        with Image.open(run.folder / "figures" / name) as picture:
            assert picture.width > 500


def test_none_where_none_are_wanted(train):
    assert names(train(*SMALL, "log.figures=false")) == []


def test_the_files_that_were_drawn_are_told(train):
    run = train(*SMALL, "log.figures=false")
    found = figures.draw_run(RunFolder.open(run.folder), runner.build.training(run.config))
    assert [path.parent for path in found] == [run.folder / "figures"] * 2
    assert sorted(path.name for path in found) == names(run) == ["curves.png", "training_images.png"]


def test_what_fails_costs_no_run(train, monkeypatch, capsys):
    def broken(*_):
        raise ValueError("broken on purpose")

    monkeypatch.setattr(figures, "draw_history", broken)
    run = train(*SMALL)
    assert "figures/curves.png could not be written (ValueError: broken on purpose)" in capsys.readouterr().err
    assert run.status == "finished"
    assert names(run) == ["training_images.png", "val_mistakes.png"]


def test_the_mistakes_are_the_surest_of_the_last_validation_and_said_with_their_labels(train, monkeypatch):
    seen = {}
    draw = figures.draw_images

    def remember(images, captions, *rest):
        seen[captions[0].count("\n")] = images, captions
        return draw(images, captions, *rest)

    monkeypatch.setattr(figures, "draw_images", remember)
    run = train(*SMALL)
    images, captions = seen[1]
    network, source = run.model("last"), runner.build.data(run.config).source("val")
    probabilities = network(source.pixels / 255).softmax(1).detach()
    sureness, predicted = probabilities.max(1)
    order = [i for i in sureness.argsort(descending=True).tolist() if predicted[i] != source.labels[i]][:24]
    assert captions == [f"{predicted[i]} {sureness[i]:.0%}\nis {source.labels[i]}" for i in order]
    assert np.array_equal(images[..., 0], source.pixels[order, 0].numpy())
    training_images, labels = seen[0]
    assert len(labels) == len(training_images) == 24


def test_a_trial_of_a_sweep_leaves_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = runner.sweep([*SMALL, "log.progress=none", "sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0",
                          "optimizer.lr=loguniform(1e-3,1e-1)"])  # fmt: skip
    assert not list(found.folder.glob("trials/*/figures/*"))


def test_records_without_values_leave_gaps():
    records = [
        {"epoch": 1, "train/loss": 2.0, "lr": 0.1},
        {"epoch": 2, "train/loss": None, "lr": 0.1, "val/loss": 1e-3},
    ]
    with Image.open(io.BytesIO(history.draw_history(records, "x"))) as picture:
        assert picture.size == (1100, 340)


def test_a_validation_without_mistakes_and_none_at_all_have_no_picture():
    scores = torch.eye(3) * 9
    for found in (None, (scores, torch.arange(3))):
        training = SimpleNamespace(evaluate=SimpleNamespace(predictions=lambda trial, found=found: found))
        assert figures._mistakes(None, training) is None
