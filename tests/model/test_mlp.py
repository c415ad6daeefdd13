"""Fully connected networks and the ConvNet have the layers that their keys ask for."""

import pytest
import torch
from torch import nn

from runner.model import MLP, ConvNet


def kinds(network: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in network]


def test_mlp_normalizes_before_each_activation_when_asked():
    assert kinds(MLP(1, 8, 10, hidden=[5])) == ["Flatten", "Linear", "ReLU", "Linear"]
    assert kinds(MLP(1, 8, 10, hidden=[5], norm="batch")) == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear"]


def test_convnet_normalizes_before_each_activation_unless_told_not_to():
    stage = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    head = ["Flatten", "Linear", "ReLU", "Linear"]
    assert kinds(ConvNet(1, 8, 10, channels=[4])) == stage + head
    assert kinds(ConvNet(1, 8, 10, channels=[4], norm="none")) == ["Conv2d", "ReLU", "MaxPool2d", *head]
    assert kinds(ConvNet(1, 8, 10, channels=[4], hidden=0)) == [*stage, "Flatten", "Linear"]


@pytest.mark.parametrize("image_size", [2, 3, 5, 8])
def test_convnet_stops_pooling_before_the_map_is_lost(image_size):
    network = ConvNet(1, image_size, 10, channels=[4, 4, 4])
    assert network(torch.randn(2, 1, image_size, image_size)).shape == (2, 10)
