"""The figures and the table of `runner check` look as they did when they were last looked at."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

import runner
from runner.check import data
from runner.check.families import FAMILIES
from runner.check.layers import draw_layers
from runner.check.lr import LrRange, draw_range
from runner.check.run import measured, print_table
from runner.check.subject import Subject
from runner.check.verdict import Check
from runner.model.activity import Activity
from tests.looks import described, figures_kept, form_of


@pytest.mark.parametrize("number", [2, 14])
def test_the_histograms_of_layers_look_as_they_did(looks, number):
    values = torch.linspace(-1, 1, 101)
    layers = [
        Activity(
            name=f"blocks.{place}",
            kind="Conv2d",
            mean=0.25,
            std=0.5,
            is_weighted=True,
            dead=0.25 if place % 2 else None,
            saturated=None if place % 3 else 0.5,
            values=values if place else torch.full((3,), torch.nan),
            gradients=values**3 / 1e4,
            gradient_norm=None if place == 1 else 0.125,
        )
        for place in range(number)
    ]
    with figures_kept() as figures:
        draw_layers(layers)
    looks(f"check/layers_{number}", described(figures[0]))


@pytest.mark.parametrize(("name", "low", "current"), [("found", 1e-3, 0.5), ("none", None, "auto"), ("far", 1e-3, 1e9)])
def test_the_range_of_rates_looks_as_it_did(looks, name, low, current):
    lrs = [10.0 ** (-6 + power / 2) for power in range(14)]
    losses = [2.3, 2.3, 2.3, 2.2, 2.0, 1.6, 1.1, 0.8, 0.7, 0.9, 2.0, 6.0, 9.0, 20.0]
    found = LrRange(lrs, losses, losses, low, low and 0.01, low and 0.1, 1.0)
    with figures_kept() as figures:
        draw_range(found, current)
    looks(f"check/range_{name}", described(figures[0]))


@pytest.mark.parametrize("width", [150, 70])
def test_the_table_looks_as_it_did(looks, width):
    checks = [
        Check("data.labels", "ok", "1,257 labels of 10 classes", "each class has images"),
        Check("loss.first", "wrong", "4.12, where 2.303 is chance", "2.07 to 2.53", "init=auto", {"loss": 4.12}),
        Check("layers.dead", "warning", "45% dead units in 0; many in [0, 2]", "under 40%", "init=he, or a lower rate"),
        Check("lr.range", "skipped", "L-BFGS searches its own step"),
    ]
    out = io.StringIO()
    print_table(Console(file=out, width=width), checks)
    looks(f"check/table_{width}", out.getvalue())


MACHINES = "cost.speed"  # what it says depends on the machine
# Another processor rounds otherwise, and what is computed differs in its last digits: of these the form is compared.
ROUNDED = {"gradients", "layers", "loss", "lr", "overfit", "updates", "data.neighbors"}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_a_check_says_of_a_good_training_is_what_it_said(looks, family):
    subject = Subject(runner.compose(["model=mlp", "data.images_per_class=40", "engine.epochs=2"]))
    said = []
    for one in measured(subject, family):
        shown = [one.measured, one.expected, one.advice]
        if {family, one.name} & ROUNDED and one.name != "gradients.flow":
            shown = [form_of(text) for text in shown]
        if one.name != MACHINES:
            said += [f"{one.name}: {one.verdict}", *(f"  {text}" for text in shown)]
    looks(f"check/good_{family}", "\n".join(said))


def test_the_batch_is_drawn_as_the_network_sees_it(monkeypatch):
    drawn = []
    monkeypatch.setattr(data, "draw_images", lambda *args, **options: drawn.append((*args, options)) or b"")
    subject = Subject(runner.compose(["model=linear"]))
    list(data.check(subject))
    ((images, captions, options),) = drawn
    pixels, labels = subject.training.train.pictures(32)
    assert np.array_equal(images[..., 0], (pixels[:, 0] * 255).round().numpy())
    assert captions == [str(label) for label in labels.tolist()]
    assert options == {"columns": 8}
