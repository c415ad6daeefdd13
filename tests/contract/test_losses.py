"""Every loss: its formula, its value at random initialization, and class probabilities as targets."""

import math

import pytest
import torch

import runner
from runner.loss import CrossEntropy, Hinge

K = 10


def cross_entropy(scores, label):
    return -math.log(math.exp(scores[label]) / sum(math.exp(s) for s in scores))


def hinge(scores, label):
    return sum(max(0.0, s - scores[label] + 1) for j, s in enumerate(scores) if j != label)


LOSSES = {"cross_entropy": (CrossEntropy, cross_entropy), "hinge": (Hinge, hinge)}


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_over_a_batch_equals_the_formula(name):
    make, formula = LOSSES[name]
    scores = torch.randn(16, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(16) % K
    rows = zip(scores.tolist(), labels.tolist(), strict=True)
    assert make()(scores, labels).item() == pytest.approx(sum(formula(s, y) for s, y in rows) / 16)


@pytest.mark.parametrize("name", LOSSES)
def test_class_probabilities_give_the_expected_loss(name):
    make, formula = LOSSES[name]
    numbers = torch.Generator().manual_seed(1)
    scores = torch.randn(8, K, generator=numbers, dtype=torch.float64)
    targets = torch.rand(8, K, generator=numbers, dtype=torch.float64).softmax(1)
    rows = zip(scores.tolist(), targets.tolist(), strict=True)
    expected = sum(p * formula(s, y) for s, row in rows for y, p in enumerate(row)) / 8
    assert make()(scores, targets).item() == pytest.approx(expected)


def test_the_lectures_example_of_the_hinge_loss():
    scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    assert Hinge()(scores, torch.tensor([0, 1, 2])).item() == pytest.approx((2.9 + 0 + 12.9) / 3)


@pytest.mark.parametrize(("name", "expected"), [("cross_entropy", math.log(10)), ("hinge", 9.0)])
def test_the_loss_at_a_small_random_start_is_what_the_lecture_says(name, expected):
    training = runner.build.training(runner.compose([f"loss={name}", "model=linear", "init=small"]))
    loss, _ = training.step(training.state, next(training.train.epoch()))
    assert loss.item() == pytest.approx(expected, rel=0.05)
