"""Residual networks: the CIFAR block's formula and the forms of the first layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import runner
from runner import config
from runner.model import resnet
from runner.model.resnet import BasicBlock

IMAGES = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))


def made(*args):
    """A block in evaluation mode, whose normalizations have statistics and factors of their own."""
    torch.manual_seed(0)
    block = BasicBlock(*args).eval().requires_grad_(False)
    for layer in block.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias):
                tensor.normal_()
            for tensor in (layer.running_var, layer.weight):
                tensor.uniform_(0.5, 2)
    return block


def normalized(layer, x):
    """Batch normalization by its formula."""
    mean, variance, factor, shift = (
        numbers[:, None, None] for numbers in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (variance + 1e-5).sqrt() * factor + shift


def branch_by_hand(block, x, stride, activation=F.relu):
    first, second = (layer for layer in block.branch if isinstance(layer, nn.Conv2d))
    first_norm, second_norm = (layer for layer in block.branch if isinstance(layer, nn.BatchNorm2d))
    hidden = activation(normalized(first_norm, F.conv2d(x, first.weight, stride=stride, padding=1)))
    return normalized(second_norm, F.conv2d(hidden, second.weight, padding=1))


def test_block_adds_its_input_to_its_branch():
    block = made(4, 4, 1)
    torch.testing.assert_close(block(IMAGES), F.relu(IMAGES + branch_by_hand(block, IMAGES, 1)))


def test_block_that_shrinks_pads_its_strided_input_with_zeros():
    block = made(4, 8, 2)
    shortcut = torch.zeros(2, 8, 3, 3)
    shortcut[:, 2:6] = IMAGES[:, :, ::2, ::2]
    torch.testing.assert_close(block(IMAGES), F.relu(shortcut + branch_by_hand(block, IMAGES, 2)))


def test_block_that_shrinks_alone_and_one_that_widens_alone_have_shortcuts_too():
    for channels, stride, shortcut in ((4, 2, IMAGES[:, :, ::2, ::2]), (6, 1, F.pad(IMAGES, (0, 0, 0, 0, 1, 1)))):
        block = made(4, channels, stride)
        torch.testing.assert_close(block(IMAGES), F.relu(shortcut + branch_by_hand(block, IMAGES, stride)))


def larger(pieces):
    return torch.maximum(*pieces.chunk(2, 1))


def test_block_with_maxout_is_the_larger_of_two_residual_sums():
    block = made(4, 4, 1, "maxout")
    first, second = branch_by_hand(block, IMAGES, 1, larger).chunk(2, 1)
    torch.testing.assert_close(block(IMAGES), torch.maximum(IMAGES + first, IMAGES + second))


def kinds(layers):
    return [type(layer).__name__ for layer in layers]


def test_cifar_resnet_has_the_layers_of_its_paper_in_their_order():
    network = resnet(3, 32, 10, depth=20)
    assert [name for name, _ in network.named_children()] == ["stem", "blocks", "fc"]
    assert kinds(network.stem) == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert [kinds(block.branch) for block in network.blocks] == [
        ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"]
    ] * 9
    assert kinds(block.activation for block in network.blocks) == ["ReLU"] * 9
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert {(layer.kernel_size, layer.padding, layer.bias) for layer in convolutions} == {((3, 3), (1, 1), None)}
    shapes = [(layer.in_channels, layer.out_channels, layer.stride[0]) for layer in convolutions]
    stages = [(16, 16, 1)] * 6, [(16, 32, 2), *[(32, 32, 1)] * 5], [(32, 64, 2), *[(64, 64, 1)] * 5]
    assert shapes == [(3, 16, 1), *stages[0], *stages[1], *stages[2]]


def test_cifar_resnet_scores_the_mean_over_the_last_maps():
    torch.manual_seed(0)
    network = resnet(3, 8, 10, depth=20, width=4).eval()
    images = torch.randn(2, 3, 8, 8)
    maps = network.blocks(network.stem(images))
    assert maps.shape == (2, 16, 2, 2)
    torch.testing.assert_close(network(images), network.fc(maps.flatten(2).mean(2)))


@pytest.mark.parametrize(
    ("stem", "image_size", "kernel"),
    [("auto", 40, 3), ("auto", 41, 7), ("auto", 64, 7), ("cifar", 64, 3), ("imagenet", 32, 7)],
)
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
    config.check(runner.compose(["model=resnet", f"model.depth={depth}"]))
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) == depth


def test_width_is_that_of_the_first_stage():
    with torch.device("meta"):
        network = resnet(3, 32, 10, depth=20, width=8)
    assert [network.stem[0].out_channels, network.fc.in_features] == [8, 32]


@pytest.mark.parametrize("depth", [18, 50, 20])
def test_the_plain_network_has_the_layers_of_the_residual_one_and_no_shortcut(depth):
    residual, plain = (resnet(3, 32, 10, depth=depth, residual=flag) for flag in (True, False))

    def filters(network):
        names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
        return [network.get_submodule(name).weight.shape for name in names if "downsample" not in name]

    assert filters(plain) == filters(residual)
    block = plain.layer2[1] if depth != 20 else None
    if block is not None:
        convolutions = {18: 2, 50: 3}[depth]
        assert [type(layer) for layer in block] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * convolutions
    # A block whose layers give 0 passes nothing on, where a shortcut would.
    blocks = plain.blocks if depth == 20 else plain.layer1
    last = [layer for layer in blocks[0] if isinstance(layer, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    assert not blocks[0].eval()(torch.randn(1, blocks[0][0].in_channels, 8, 8)).any()


def test_stochastic_depth_has_nothing_to_drop_in_a_plain_network():
    for depth in ("18", "20"):
        words = ["model=resnet", f"model.depth={depth}", "model.residual=false", "reg=stochastic_depth"]
        with pytest.raises(runner.UserError, match=r"^reg.stochastic_depth: nothing to act on"):
            runner.build.model(runner.compose(words))


@torch.no_grad()
def test_the_first_layers_of_small_images_keep_their_size_and_those_of_large_ones_quarter_it():
    for in_channels, size, side in [(1, 28, 28), (3, 224, 56), (2, 64, 16)]:
        network = resnet(in_channels, size, 5, depth=18).eval()
        found = network.maxpool(network.conv1(torch.zeros(1, in_channels, size, size)))
        assert found.shape == (1, 64, side, side)
