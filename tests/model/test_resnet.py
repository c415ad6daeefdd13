"""Residual networks: the CIFAR block's formula and the forms of the first layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from runner.model import resnet
from runner.model.resnet import BasicBlock


def test_block_adds_its_input_to_its_branch():
    block = BasicBlock(4, 4, 1).eval()
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(x), F.relu(x + block.branch(x)))


def test_block_that_shrinks_pads_its_strided_input_with_zeros():
    block = BasicBlock(4, 8, 2).eval()
    x = torch.randn(2, 4, 6, 6)
    shortcut = torch.zeros(2, 8, 3, 3)
    shortcut[:, 2:6] = x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), F.relu(shortcut + block.branch(x)))


def test_block_with_maxout_is_the_larger_of_two_residual_sums():
    block = BasicBlock(4, 4, 1, "maxout").eval()
    x = torch.randn(2, 4, 6, 6)
    first, second = block.branch(x).chunk(2, 1)
    torch.testing.assert_close(block(x), torch.maximum(x + first, x + second))


@pytest.mark.parametrize(("stem", "image_size", "kernel"), [("auto", 32, 3), ("auto", 224, 7), ("imagenet", 32, 7)])
def test_stem_is_chosen_by_name_or_by_size(stem, image_size, kernel):
    with torch.device("meta"):
        network = resnet(1, image_size, 10, stem=stem)
    assert network.conv1.kernel_size == (kernel, kernel)
    assert network.conv1.in_channels == 1
    assert isinstance(network.maxpool, nn.Identity) == (kernel == 3)


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_cifar_depth_counts_its_layers(depth):
    with torch.device("meta"):
        network = resnet(3, 32, 10, depth=depth)
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) == depth


def test_width_is_that_of_the_first_stage():
    with torch.device("meta"):
        network = resnet(3, 32, 10, depth=20, width=8)
    assert [network.stem[0].out_channels, network.fc.in_features] == [8, 32]
