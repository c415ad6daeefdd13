"""torchvision's classifiers by name: new heads, other channels, trained weights that stay."""

import pytest
import torch
import torchvision.models as theirs
from torch import nn

from runner.errors import UserError
from runner.init.initializers import He
from runner.model import torchvision
from runner.model.torchvision import replace_head

# One of every family with a head of its own kind.
HEADS = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "mnasnet0_5",
    "mobilenet_v2",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "vgg11",
    "vit_b_32",
]


@pytest.mark.parametrize("name", HEADS)
def test_a_new_head_gives_the_new_classes_and_leaves_the_rest(name):
    with torch.device("meta"):
        network = theirs.get_model(name, weights=None).eval()
        before = dict(network.named_parameters())
        replace_head(network, 1000, 7)
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 7)
    changed = [name for name, parameter in network.named_parameters() if parameter is not before[name]]
    assert {name.rpartition(".")[0] for name in changed} == {changed[0].rpartition(".")[0]}


@pytest.mark.parametrize("bias", [True, False])
def test_a_new_head_has_a_bias_where_the_old_one_has(bias):
    network = nn.Sequential(nn.Linear(4, 10), nn.Linear(10, 10, bias=bias))
    replace_head(network, 10, 7)
    assert (network[1].in_features, network[1].out_features) == (10, 7)
    assert (network[1].bias is not None) == bias
    assert network[0].out_features == 10  # the last layer of so many outputs alone


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


@pytest.fixture
def downloads(monkeypatch):
    """Stands in for the server of trained weights."""
    trained = theirs.shufflenet_v2_x0_5()

    def load(*_args, **_keys):
        return trained.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    return trained


def test_trained_weights_stay_through_initialization_and_the_new_head_is_initialized(downloads):
    network = torchvision(3, 32, 7, name="shufflenet_v2_x0_5", weights="DEFAULT")
    head = network.fc.weight.detach().clone()
    He()(network)
    assert not network.fc.bias.any()
    for name, parameter in downloads.named_parameters():
        if not name.startswith("fc."):
            assert torch.equal(network.get_parameter(name), parameter), name
    assert network.fc.out_features == 7
    assert not torch.equal(network.fc.weight, head)


def test_trained_weights_with_as_many_classes_keep_their_head(downloads):
    network = torchvision(3, 32, 1000, name="shufflenet_v2_x0_5", weights="IMAGENET1K_V1")
    assert torch.equal(network.fc.weight, downloads.fc.weight)


def test_a_failed_download_names_the_key(monkeypatch):
    def fail(*_args, **_keys):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(UserError, match=r"^model\.weights: cannot download those of resnet18 \(no route to host\)"):
        torchvision(3, 32, 10, name="resnet18", weights="DEFAULT")
