"""torchvision's classifiers by name: heads, other channels, other sizes."""

import pytest
import torch
import torchvision.models as theirs
from torch import nn

from runner.model import torchvision


def test_the_head_of_a_new_network_for_other_classes_has_a_bias():
    assert torchvision(3, 32, 7, name="shufflenet_v2_x0_5").fc.bias.shape == (7,)


@pytest.mark.parametrize("name", ["googlenet", "regnet_x_400mf", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_gray_images_get_a_first_convolution_of_one_channel(name):
    network = torchvision(1, 32, 7, name=name).eval()
    first, second = [
        next(layer for layer in made.modules() if isinstance(layer, nn.Conv2d))
        for made in (
            network,
            theirs.get_model(name, weights=None, **({"init_weights": False} if name == "googlenet" else {})),
        )
    ]
    assert (first.in_channels, second.in_channels) == (1, 3)
    for what in ("out_channels", "kernel_size", "stride", "padding"):
        assert getattr(first, what) == getattr(second, what)
    assert (first.bias is None) == (second.bias is None)
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert network.training is False


@pytest.mark.parametrize(("name", "image_size"), [("efficientnet_b0", 8), ("swin_t", 32), ("vit_b_32", 64)])
def test_images_of_a_size_that_suits_are_taken(name, image_size):
    assert torchvision(3, image_size, 7, name=name).eval()(torch.randn(1, 3, image_size, image_size)).shape == (1, 7)


def test_a_new_network_is_in_training_mode():
    assert torchvision(3, 32, 7, name="shufflenet_v2_x0_5").training


def test_inception_comes_without_auxiliary_scores():
    assert torchvision(3, 75, 5, name="inception_v3")(torch.randn(2, 3, 75, 75)).shape == (2, 5)
