"""Activations equal their formulas, and every network that offers them takes each."""

import math
import re

import pytest
import torch
from torch import nn

from runner.constraints import problem
from runner.errors import UserError
from runner.init.initializers import He
from runner.model import (
    MLP,
    NIN,
    ConvNet,
    InceptionResNetV2,
    InceptionV2,
    InceptionV4,
    alexnet,
    googlenet,
    inception_v3,
    resnet,
    vgg,
    zfnet,
)
from runner.model.activation import NAMES, ActivationName, Maxout, activation, copies, swap_relu
from runner.model.blocks import conv, linear

FORMULAS = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "relu": lambda x: max(0.0, x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "identity": lambda x: x,
}
NUMBERED = {
    "leaky_relu:0.1": lambda x: x if x > 0 else 0.1 * x,
    "leaky_relu:0": lambda x: max(0.0, x),
    "elu:0.5": lambda x: x if x > 0 else 0.5 * (math.exp(x) - 1),
}


def test_the_formulas_and_maxout_are_all_names():
    assert {*FORMULAS, "maxout"} == set(NAMES)


@pytest.mark.parametrize("name", [*FORMULAS, *NUMBERED])
def test_activation_equals_its_formula(name):
    points = [-3.0, -0.5, -0.01, 0.0, 0.01, 0.7, 4.0]
    given = activation(name)(torch.tensor([points], dtype=torch.float64).float())
    expected = torch.tensor([[(FORMULAS | NUMBERED)[name](point) for point in points]])
    torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-5)


def test_prelu_learns_its_slope():
    layer = activation("prelu")
    (slope,) = layer.parameters()
    layer(torch.tensor([[-2.0, 3.0]])).sum().backward()
    assert slope.grad.item() == -2.0


def test_maxout_of_a_linear_layer_is_the_larger_of_two():
    layer, maxout = linear(5, 3, "maxout")
    x = torch.randn(4, 5)
    W1, W2 = layer.weight[:3], layer.weight[3:]
    b1, b2 = layer.bias[:3], layer.bias[3:]
    torch.testing.assert_close(maxout(layer(x)), torch.maximum(x @ W1.T + b1, x @ W2.T + b2))


def test_maxout_of_a_convolution_is_the_larger_of_two_maps():
    layer, maxout = conv(2, 3, 3, "maxout")
    x = torch.randn(1, 2, 5, 5)
    pieces = [
        nn.functional.conv2d(x, layer.weight[part], layer.bias[part], padding=1) for part in ([0, 1, 2], [3, 4, 5])
    ]
    torch.testing.assert_close(maxout(layer(x)), torch.maximum(*pieces))


def test_maxout_doubles_the_parameters_of_the_layers_before_it():
    def count(name):
        return sum(p.numel() for p in nn.Sequential(*linear(20, 30, name), *conv(3, 8, 3, name)).parameters())

    assert copies("maxout") == 2
    assert count("maxout") == 2 * count("relu")


SMALL = {
    "mlp": lambda **keys: MLP(1, 8, 10, hidden=[16, 16], **keys),
    "mlp_batch": lambda **keys: MLP(1, 8, 10, hidden=[16, 16], norm="batch", **keys),
    "convnet": lambda **keys: ConvNet(1, 8, 10, channels=[4, 8], hidden=16, **keys),
    "alexnet": lambda **keys: alexnet(1, 8, 10, width=1 / 32, **keys),
    "alexnet_2012": lambda **keys: alexnet(1, 8, 10, width=1 / 32, variant=2012, **keys),
    "zfnet": lambda **keys: zfnet(1, 8, 10, width=1 / 32, **keys),
    "vgg": lambda **keys: vgg(1, 8, 10, width=1 / 32, depth=11, **keys),
    "cifar_resnet": lambda **keys: resnet(1, 8, 10, depth=20, width=4, **keys),
    "resnet": lambda **keys: resnet(1, 8, 10, depth=18, **keys),
    "googlenet": lambda **keys: googlenet(1, 8, 10, width=1 / 8, **keys),
    "googlenet_2014": lambda **keys: googlenet(1, 8, 10, width=1 / 8, variant=2014, **keys),
    "plain_cifar_resnet": lambda **keys: resnet(1, 8, 10, depth=20, width=4, residual=False, **keys),
    "nin": lambda **keys: NIN(1, 8, 10, width=1 / 16, **keys),
    "inception_v2": lambda **keys: InceptionV2(1, 8, 10, width=1 / 16, **keys),
    "inception_resnet_v2": lambda **keys: InceptionResNetV2(1, 10, width=1 / 16, **keys),
    "inception_v3": lambda **keys: inception_v3(1, 10, width=1 / 16, **keys),
    "inception_v4": lambda **keys: InceptionV4(1, 10, width=1 / 32, **keys),
}
KINDS = {name: type(activation(name)) for name in NAMES}


REFUSED = [("resnet", "maxout")]  # see test_maxout_is_refused_where_layers_are_torchvision_s
CHOICES = [(family, name) for family in SMALL for name in NAMES if (family, name) not in REFUSED]


def usual_size(family: str) -> int:
    return 75 if family.startswith(("inception_v3", "inception_v4", "inception_resnet")) else 8


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), CHOICES)
def test_a_network_uses_the_activation_that_was_chosen_and_no_other(family, name):
    with torch.device("meta"):
        network = SMALL[family](activation=name)
        network(torch.zeros(2, 1, usual_size(family), usual_size(family)))
    used = {type(layer) for layer in network.modules()} & {*KINDS.values()}
    assert used == {KINDS[name]}


@pytest.mark.parametrize("family", SMALL)
def test_the_chosen_activation_changes_the_scores(family):
    scores = []
    for name in ("relu", "tanh"):
        torch.manual_seed(0)
        network = SMALL[family](activation=name).eval()
        He()(network)
        scores.append(network(torch.randn(2, 1, usual_size(family), usual_size(family))))
    assert not torch.allclose(*scores)


def test_maxout_is_refused_where_layers_are_torchvision_s():
    with pytest.raises(UserError, match=r"^model\.activation: maxout"):
        swap_relu(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "maxout")


def test_swap_replaces_every_relu_at_every_depth():
    network = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True)))
    swap_relu(network, "elu")
    assert [type(layer) for layer in network.modules() if not isinstance(layer, nn.Sequential)] == [
        nn.ELU,
        nn.Linear,
        nn.ELU,
    ]


def test_maxout_layer_halves_its_channels():
    assert Maxout()(torch.tensor([[1.0, -2.0, 0.5, 3.0]])).tolist() == [[1.0, 3.0]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swish", "must be one of 'relu', 'sigmoid', .*, not 'swish'"),
        ("relu:0.1", "must be one of 'relu'"),
        ("leaky_relu:", "must have a number after leaky_relu:, not ''"),
        ("leaky_relu:steep", "must have a number after leaky_relu:, not 'steep'"),
        ("leaky_relu:1.5", "must have a number after leaky_relu: that is at least 0 and at most 1, not 1.5"),
        ("elu:0", "must have a number after elu: that is above 0, not 0"),
        ("elu:nan", "must have a number after elu: that is above 0, not nan"),
        (3, "must be text, not 3"),
    ],
)
def test_a_wrong_name_or_number_is_said_in_one_line(name, message):
    assert re.match(message, problem(name, ActivationName))


def test_a_network_built_without_a_check_refuses_them_too():
    with pytest.raises(UserError, match=r"^model.activation: must be one of"):
        MLP(1, 8, 10, activation="swish")


def test_without_activation_stacked_layers_are_one_linear_layer():
    network = MLP(1, 4, 3, hidden=[7, 5], activation="identity")
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    W, b = torch.eye(16), torch.zeros(16)
    for layer in layers:
        W, b = layer.weight @ W, layer.weight @ b + layer.bias
    images = torch.randn(6, 1, 4, 4)
    torch.testing.assert_close(network(images), images.flatten(1) @ W.T + b)


def test_the_slope_of_an_elu_is_above_zero_and_that_of_a_leaky_relu_may_be_none():
    assert "elu" in problem("elu:0", ActivationName)
    assert problem("elu:0.1", ActivationName) is None
    assert problem("leaky_relu:0", ActivationName) is None
    assert problem("leaky_relu:1.5", ActivationName) is not None
