"""Every line, mark and text of the pictures is where it was when they were last looked at."""

import io
import math

import numpy as np
import pytest

from runner.plot.confusion import draw_confusion_matrix
from runner.plot.curves import Curve, draw_curves
from runner.plot.history import draw_history
from runner.plot.pictures import draw_images
from runner.plot.reliability import Points, draw_reliability
from tests.looks import described, figures_kept, strokes_kept


def rising(last, epochs=12, shift=0.0):
    return [(epoch, last * (1 - 0.6 * 0.7**epoch) + shift * math.sin(epoch)) for epoch in range(1, epochs + 1)]


CURVES = [
    Curve("optimizer=sgd", [rising(0.9), rising(0.9, shift=0.02), rising(0.9, 11, shift=-0.02)]),
    Curve("optimizer=adam with a label that is so long that a phone has no place for it", [rising(0.8), rising(0.85)]),
    Curve("optimizer=rmsprop", [rising(0.7, 4)], finished=False),
    Curve("optimizer=adagrad", [[]], finished=False),
]


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_curves_look_as_they_did(looks, look):
    with figures_kept() as figures:
        draw_curves(CURVES, "val/accuracy", io.BytesIO(), dark=look == "dark", narrow=look == "narrow")
    looks(f"plot/curves_{look}", described(figures[0]))


@pytest.mark.parametrize(("name", "epochs"), [("short", 5), ("long", 12)])
def test_curves_of_a_loss_look_as_they_did(looks, name, epochs):
    falling = [[(epoch, 2.0 * 0.8**epoch) for epoch in range(1, epochs + 1)] for _ in range(2)]
    many = [Curve(f"seed={number}", falling) for number in range(11)]
    with figures_kept() as figures:
        draw_curves(many, "val/loss", io.BytesIO())
    looks(f"plot/curves_{name}_loss", described(figures[0]))


@pytest.mark.parametrize("epochs", [2, 30])
def test_the_history_of_a_run_looks_as_it_did(looks, epochs):
    records = [
        {"epoch": epoch, "lr": 0.01 / epoch, "train/loss": 2.0 * 0.8**epoch, "val/loss": 2.0 * 0.85**epoch}
        | {"train/accuracy": 1 - 0.8**epoch, "val/accuracy": None if epoch % 3 == 1 else 1 - 0.85**epoch}
        for epoch in range(1, epochs + 1)
    ]
    with figures_kept() as figures:
        draw_history(records, "digits, mlp")
    looks(f"plot/history_{epochs}", described(figures[0]))


def test_the_reliability_diagram_looks_as_it_did(looks):
    curves = [
        Points("as trained, error 0.12", [0.1, 0.5, 0.95], [0.05, 0.4, 0.8], [10, 30, 60]),
        Points("temperature 1.5", [0.2, 0.6, 0.9], [0.2, 0.55, 0.9], [20, 40, 40]),
    ]
    with figures_kept() as figures:
        draw_reliability(curves, "Reliability (best.pt)")
    looks("plot/reliability", described(figures[0]))


def names(K, text="class"):
    return [f"{text} {k}" for k in range(K)]


@pytest.mark.parametrize(("K", "text"), [(3, "c"), (13, "class"), (40, "class"), (120, "class")])
def test_the_confusion_matrix_looks_as_it_did(looks, K, text):
    counts = np.diag(np.full(K, 7)) + np.diag(np.arange(1, K), 1) * (K < 30)
    with strokes_kept() as strokes:
        draw_confusion_matrix(counts.tolist(), names(K, text), f"Confusion matrix of {K} classes")
    looks(f"plot/confusion_{K}", "\n".join(strokes))


@pytest.mark.parametrize(("name", "side", "columns"), [("small", 8, 4), ("large", 50, 3)])
def test_images_with_captions_look_as_they_did(looks, name, side, columns):
    images = np.full((5, side, side - 2, 3), 100, dtype=np.uint8)
    captions = ["cat", "dog\n90%", "a name that is far too long for its image", "", "é"]
    with strokes_kept() as strokes:
        draw_images(images, captions, columns)
    looks(f"plot/images_{name}", "\n".join(strokes))
