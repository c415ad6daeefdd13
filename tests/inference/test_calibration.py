"""Calibration error and temperature, against numpy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from runner.inference.calibration import fit_temperature, reliability


def test_the_error_by_hand():
    """Two bins of ten: 0.75 twice, once right; 0.95 once, right. (2 * |0.75 - 0.5| + 1 * |0.95 - 1|) / 3."""
    probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.05, 0.95]])
    found = reliability(probabilities, torch.tensor([0, 1, 1]), num_bins=10)
    assert found.error == pytest.approx((2 * 0.25 + 0.05) / 3, abs=1e-7)
    assert found.confidence == pytest.approx([0.75, 0.95])
    assert (found.accuracy, found.num_images) == ([0.5, 1.0], [2, 1])


def test_a_confidence_on_the_edge_of_a_bin_is_in_the_lower_one():
    found = reliability(torch.tensor([[0.5, 0.5], [0.6, 0.4], [1.0, 0.0]]), torch.tensor([0, 0, 0]), num_bins=2)
    assert found.num_images == [1, 2]  # (0, 0.5] and (0.5, 1]


def noisy(scale, seed=0):
    """Scores whose probabilities are right at temperature `scale`, and labels drawn from these."""
    numbers = np.random.default_rng(seed)
    logits = numbers.normal(size=(4000, 5)) * 2
    gumbel = numbers.gumbel(size=logits.shape)
    return torch.tensor(logits * scale), torch.tensor((logits + gumbel).argmax(1))


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_the_temperature_is_the_minimum_of_the_cross_entropy(scale):
    scores, labels = noisy(scale)

    def loss(log_temperature):
        z = scores.numpy() / np.exp(log_temperature)
        z = z - z.max(1, keepdims=True)
        return (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels.numpy()]).mean()

    expected = np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-8}).x)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found == pytest.approx(scale, rel=0.1)
    calibrated = reliability((scores / found).softmax(1), labels).error
    assert calibrated < 0.02
    if scale != 1:
        assert reliability(scores.softmax(1), labels).error > 3 * calibrated


def test_where_all_are_right_or_nothing_is_known_the_temperature_has_bounds():
    scores = torch.eye(3)
    assert fit_temperature(scores, torch.arange(3)) == 0.01
    assert fit_temperature(scores, (torch.arange(3) + 1) % 3) == 100.0
