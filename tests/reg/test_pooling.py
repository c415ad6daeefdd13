"""Fractional max pooling by the private argument of torch, and by the operator where torch drops the argument."""

import pytest
import torch
import torch.nn.functional as F

from runner.reg import pooling


def test_this_torch_takes_the_samples():
    """If this fails, torch dropped `_random_samples`; the operator's own call takes over."""
    F.fractional_max_pool2d(torch.randn(1, 2, 5, 5), 2, output_size=3, _random_samples=torch.rand(1, 2, 2))


def test_the_operator_pools_by_the_same_samples(monkeypatch):
    images, samples = torch.randn(2, 3, 7, 7), torch.rand(2, 3, 2)
    expected = pooling.fractional_max_pool(images, samples, (5, 4))
    monkeypatch.setattr(F, "fractional_max_pool2d", lambda images, kernel, output_size: None)
    assert torch.equal(pooling.fractional_max_pool(images, samples, (5, 4)), expected)


@pytest.mark.parametrize(
    ("size", "target", "way"),
    [
        (32, 16, [23, 16]),
        (32, 28, [28]),
        (8, 4, [6, 4]),
        (2, 1, [1]),
        (4, 4, [4]),
        (3, 5, [5]),
        (100, 25, [71, 50, 35, 25]),
    ],
)
def test_sizes_fall_by_about_the_ratio(size, target, way):
    assert pooling.sizes(size, target, 2**-0.5) == way
