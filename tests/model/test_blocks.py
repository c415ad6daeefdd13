"""Pieces of networks equal what they stand for."""

import pytest
import torch
from torch import nn

from runner.model.blocks import Enlarge, PoolTo, ResponseNorm, is_small, scaled


@pytest.mark.parametrize("size", [1, 4, 5, 6, 7])
@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 13, 14, 17])
def test_pooling_to_a_size_equals_torch_s_adaptive_pooling(n, size):
    x = torch.randn(2, 3, n, n, dtype=torch.float64)
    torch.testing.assert_close(PoolTo(size)(x), nn.AdaptiveAvgPool2d(size)(x))


def test_response_norm_equals_the_formula_of_the_paper():
    C = 9
    a = 10 * torch.randn(2, C, 3, 3, dtype=torch.float64)
    given = ResponseNorm()(a)
    for c in range(C):
        around = a[:, max(0, c - 2) : c + 3].square().sum(1)
        torch.testing.assert_close(given[:, c], a[:, c] / (2 + 1e-4 * around) ** 0.75)


def test_response_norm_equals_torch_s_layer_of_its_constants():
    x = 10 * torch.randn(2, 4, 5, 5)
    layer = ResponseNorm()
    torch.testing.assert_close(layer(x), nn.LocalResponseNorm.forward(layer, x))


def test_small_images_are_enlarged_and_large_ones_pass():
    layer = Enlarge(75)
    assert layer(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 75, 75)
    large = torch.randn(1, 1, 80, 80)
    assert layer(large) is large


def test_width_scales_channels_and_leaves_at_least_one():
    assert [scaled(64, 1.0), scaled(96, 0.25), scaled(64, 0.001)] == [64, 24, 1]


def test_auto_means_cifar_up_to_64_pixels():
    assert [is_small("auto", 64), is_small("auto", 65)] == [True, False]
    assert [is_small("cifar", 224), is_small("imagenet", 8)] == [True, False]
