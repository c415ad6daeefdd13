"""A network as a table, held to published counts."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision import models

from runner.errors import UserError
from runner.model.summary import check_network, layer_names, summarize, totals


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "mobilenet_v2", "squeezenet1_0"])
def test_parameters_and_multiply_adds_are_those_that_torchvision_publishes(name):
    meta = models.get_model_weights(name).DEFAULT.meta
    network = models.get_model(name, weights=None)
    parameters, multiply_adds = totals(summarize(network, torch.zeros(1, 3, 224, 224)), network)
    assert parameters == meta["num_params"]
    # torchvision's count has the additions of biases in it, and three digits.
    assert multiply_adds / 1e9 == pytest.approx(meta["_ops"], rel=0.01)


def test_each_layer_has_its_name_output_parameters_and_multiply_adds():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))
    found = summarize(network, torch.zeros(1, 3, 8, 8))
    assert [(one.name, one.kind, one.shape, one.num_parameters, one.multiply_adds) for one in found] == [
        ("conv1", "Conv2d", (4, 6, 6), 3 * 4 * 9 + 4, 4 * 36 * 27),
        ("1", "ReLU", (4, 6, 6), 0, 0),
        ("2", "Flatten", (144,), 0, 0),
        ("linear1", "Linear", (10,), 1450, 1440),
    ]
    assert totals(found, network) == (112 + 1450, 3888 + 1440)


def test_a_layer_that_is_passed_twice_counts_twice_and_has_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, images):
            return self.linear(self.linear(images.flatten(1)))

    network = Twice()
    (layer,) = summarize(network, torch.zeros(1, 1, 2, 2))
    assert (layer.num_parameters, layer.multiply_adds) == (20, 32)


def test_nothing_of_the_network_changes():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    network[1].eval()  # frozen
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.get_rng_state()
    summarize(network, torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert [module.training for module in network.modules()] == [True, True, False, True]
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_keeps_its_own_name():
    network = nn.ModuleDict({"head": nn.Linear(2, 2), "body": nn.Sequential(nn.Linear(2, 2))})
    assert layer_names(network) == {"head": "head", "body.0": "body.linear1"}


class Whole(nn.Module):
    def __init__(self, body, head):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


@pytest.mark.parametrize(
    ("body", "head", "said"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3)),
            nn.Linear(4, 10),
            r"model: layer body\.conv1 \(Conv2d\) got 1 x 8 x 8",
        ),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3)),
            nn.Linear(4, 10),
            r"model: layer head \(Linear\) got 144",
        ),
        (nn.Identity(), nn.Linear(64, 5), r"model: must give 10 scores for each image, one a class; it gave \(1, 5\)"),
        (nn.Identity(), nn.LSTM(64, 10), r"must give 10 scores for each image, one a class; it gave tuple for one"),
    ],
)
def test_a_network_that_cannot_take_the_images_is_told_by_its_layer(body, head, said):
    network = Whole(body, head)
    with pytest.raises(UserError, match=said) as raised:
        check_network(network, torch.zeros(1, 1, 8, 8), 10)
    assert "\n" not in str(raised.value)
    assert all(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_network_that_can_is_left_alone():
    check_network(Whole(nn.Identity(), nn.Linear(64, 10)), torch.zeros(1, 1, 8, 8), 10)


def test_a_network_of_ones_own_is_held_to_the_data_before_there_is_a_folder(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mynets", SimpleNamespace(__name__="mynets", Net=Odd))
    words = ["model._target_=mynets.Net", "~model.activation", "~model.norm", "~model.channels", "~model.hidden"]
    with pytest.raises(UserError, match=r"model: layer linear \(Linear\) got 64 for each image"):
        train(*words)
    assert not (tmp_path / "outputs").exists()


class Odd(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.linear = nn.Linear(63, num_classes)

    def forward(self, images):
        return self.linear(images.flatten(1))
