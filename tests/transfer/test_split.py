"""A network in two parts that together give what it gives."""

import pytest
import torch
from torch import nn

from runner.model import ConvNeXt, ViT, googlenet, resnet, torchvision
from runner.reg.noise import Dropout
from runner.transfer import split
from runner.transfer.blocks import blocks_of


def with_frozen_body(network, head):
    network.requires_grad_(False).eval()
    network.get_submodule(head).requires_grad_(True)
    return network


NETWORKS = {
    "resnet18": (lambda: resnet(3, 32, 5), "fc"),
    "resnet20": (lambda: resnet(3, 16, 5, depth=20, width=4), "fc"),
    "convnext": (lambda: ConvNeXt(3, 16, 5, channels=(4, 8), depths=(1, 1)), None),
    "googlenet": (lambda: googlenet(3, 32, 5, width=0.125), "fc"),
    "shufflenet": (lambda: torchvision(3, 32, 5, name="shufflenet_v2_x0_5"), "fc"),
    "vit": (lambda: ViT(3, 8, 5, width=12, depth=1), None),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_two_parts_give_what_the_whole_gives_bit_by_bit(name):
    make, head = NETWORKS[name]
    network = make()
    head = head or [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    network = with_frozen_body(network, head)
    size = 8 if name == "vit" else 16 if name in ("convnext", "resnet20") else 32
    images = torch.randn(3, 3, size, size)
    cut = split(network)
    assert cut is not None
    features = cut.frozen(images)
    assert features.numel() < images.numel()
    assert torch.equal(cut.rest(features), network(images))
    assert {id(parameter) for parameter in cut.rest.parameters()} >= {
        id(parameter) for parameter in network.get_submodule(head).parameters()
    }


def test_dropout_before_the_head_stays_with_the_head():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    cut = split(network)
    assert [type(layer) for layer in cut.rest.modules()][1:] == [nn.Dropout, nn.Linear]


def test_noise_that_a_regularizer_attaches_is_not_frozen():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    network[2].requires_grad_(False)
    Dropout(0.5).attach(network)
    cut = split(network)
    assert torch.equal(cut.frozen(torch.ones(1, 4)), network[1](network[0](torch.ones(1, 4))))  # up to the second one


def test_of_a_body_without_layers_there_is_nothing_to_compute_once():
    class Flattened(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(x.flatten(1))

    assert split(Flattened()) is None


def test_normalization_that_is_not_held_is_not_frozen():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, affine=False), nn.Flatten(), nn.Linear(8, 2))
    network[0].requires_grad_(False)
    assert split(network).cut == "_0"
    network[1].eval()
    assert split(network).cut == "_2"


def test_a_network_that_cannot_be_cut_is_left_whole():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.body(x) if x.sum() > 0 else x)

    network = Branching()
    network.body.requires_grad_(False)
    assert split(network) is None
    assert split(nn.Linear(4, 2)) is None  # nothing is frozen


def test_a_network_is_cut_within_its_blocks():
    inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    network = nn.Sequential(inner, nn.Linear(4, 2))
    inner[0].requires_grad_(False)
    cut = split(network)
    x = torch.randn(3, 4)
    assert torch.equal(cut.frozen(x), inner[1](inner[0](x)))


def test_new_layers_learn_with_the_head():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    found = blocks_of(network, new=["2.weight", "9.weight"])
    assert [id(one) for one in found.head] == [
        id(one) for one in (network[2].weight, network[4].weight, network[4].bias)
    ]
    assert [id(one) for block in found.blocks for one in block] == [
        id(one) for one in (network[0].weight, network[0].bias, network[2].bias)
    ]
