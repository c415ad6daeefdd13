"""Weights in files of any tool, and how they are fitted into a network."""

import pytest
import torch
import torchvision.models as theirs
from torch import nn

from runner.errors import UserError
from runner.model import resnet, torchvision
from runner.transfer.weights import Weights, fit_into, read_weights

CLASSES = ["cat", "dog", "cow"]


def small(num_classes=3, width=4):
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, num_classes))


def given(network, **more):
    return Weights(network.state_dict(), "these", "0", **more)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
        lambda state: {"state": {"network": state, "optimizer": {}}},
    ],
)
def test_a_state_dict_is_found_in_what_other_tools_write(tmp_path, wrap):
    source, network = small(), small()
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pt")
    fitted = fit_into(network, read_weights(tmp_path / "weights.pt"), CLASSES)
    assert fitted.num_loaded == 4
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_safetensors_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    source, network = small(), small()
    safetensors.save_file(source.state_dict(), tmp_path / "weights.safetensors")
    fit_into(network, read_weights(tmp_path / "weights.safetensors"), CLASSES)
    assert torch.equal(network[0].weight, source[0].weight)


def test_without_its_package_a_file_of_safetensors_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"^model.weights: .* needs the package safetensors, .*runner\[timm\]"):
        read_weights(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "a folder, not a file"),
        (lambda path: path.write_text("hello"), "not a file of weights"),
        (lambda path: torch.save([1, 2], path), "holds no weights by name"),
        (lambda path: torch.save({"lr": 0.1}, path), "holds no weights by name"),
        (lambda path: torch.save(small(), path), "not a file of weights"),  # a pickled module, which may run anything
    ],
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, write, message):
    write(tmp_path / "weights.pt")
    with pytest.raises(UserError, match=rf"^model.weights: .*{message}") as raised:
        read_weights(tmp_path / "weights.pt")
    assert "\n" not in str(raised.value)


def test_rows_of_equal_class_names_are_kept_and_the_others_are_new():
    source, network = small(4), small()
    before = network[4].weight.detach().clone()
    fitted = fit_into(network, given(source, classes=["Cow", "hen", "polar_bear", "cat"]), ["cat", "dog", "cow"])
    assert (fitted.head_rows, fitted.num_classes) == (2, 3)
    assert torch.equal(network[4].weight[0], source[4].weight[3])
    assert torch.equal(network[4].bias[0], source[4].bias[3])
    assert torch.equal(network[4].weight[2], source[4].weight[0])
    assert torch.equal(network[4].weight[1], before[1])


def test_a_new_head_keeps_none():
    source, network = small(), small()
    before = network[4].weight.detach().clone()
    assert fit_into(network, given(source, classes=CLASSES), CLASSES, head="new").head_rows == 0
    assert torch.equal(network[4].weight, before)
    assert torch.equal(network[2].weight, source[2].weight)


def test_layers_of_another_shape_are_left_out_and_told():
    source, network = resnet(3, 224, 10), resnet(3, 32, 7)  # a first convolution of 7x7, and one of 3x3
    fitted = fit_into(network, given(source), [str(number) for number in range(7)])
    assert fitted.misfits == ["conv1.weight (64 x 3 x 7 x 7, here 64 x 3 x 3 x 3)"]
    assert fitted.new == ["conv1.weight"]
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_what_the_file_lacks_and_what_is_not_used_is_told():
    source, network = small(), small()
    tensors = {name: value for name, value in source.state_dict().items() if name != "2.bias"}
    fitted = fit_into(network, Weights(tensors | {"more.weight": torch.zeros(2)}, "these", "0"), CLASSES)
    assert (fitted.new, fitted.unused) == (["2.bias"], ["more.weight"])


def test_weights_of_another_network_are_refused_and_nothing_is_changed():
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=r"^model.weights: these fits 0 of 4 tensors .* is not in it; choose the net"):
        fit_into(network, given(theirs.squeezenet1_1()), CLASSES)
    with pytest.raises(UserError, match=r"^model.weights: these fits 1 of 4 .*0.weight \(9 x 5, here 4 x 5\)"):
        fit_into(network, given(small(width=9)), CLASSES)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_weights_of_half_of_the_layers_are_enough():
    source, network = small(), small()
    tensors = source.state_dict()
    half = {name: tensors[name] for name in ("0.weight", "0.bias")}  # of four without the head
    fitted = fit_into(network, Weights(half, "these", "0"), CLASSES)
    assert (fitted.num_loaded, fitted.new) == (2, ["2.weight", "2.bias"])
    with pytest.raises(UserError, match=r"fits 1 of 4 tensors"):
        fit_into(network, Weights({"0.bias": half["0.bias"]}, "these", "0"), CLASSES)


def test_a_strict_fit_refuses_any_layer_but_the_head():
    fit_into(small(), given(small(9), strict=True), CLASSES)
    source = small()
    del source[0].bias
    with pytest.raises(UserError, match=r"fits 3 of 4 tensors .* 0.bias is not in it"):
        fit_into(small(), given(source, strict=True), CLASSES)


@pytest.mark.parametrize("name", ["alexnet", "densenet121", "mobilenet_v2", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_torchvisions_own_state_dict_sets_every_layer_but_the_head(name):
    source = theirs.get_model(name, weights=None)
    size = 64 if name == "alexnet" else 32
    network = torchvision(3, size, 7, name=name)
    fitted = fit_into(network, given(source), [str(number) for number in range(7)])
    assert (fitted.new, fitted.unused, fitted.head_rows) == ([], [], 0)
    own = network.state_dict()
    for name, value in source.state_dict().items():
        assert own[name].shape != value.shape or torch.equal(own[name], value)


def test_old_names_of_densenets_layers_are_known(tmp_path):
    source = theirs.densenet121().state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for name, value in source.items()}
    assert old.keys() != source.keys()
    torch.save(old, tmp_path / "weights.pth")
    assert read_weights(tmp_path / "weights.pth").tensors.keys() == source.keys()


@pytest.mark.parametrize("content", [b"", b"rubbish that is longer than a header", b"\xff" * 64])
def test_damaged_safetensors_are_one_line(tmp_path, content):
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"^model.weights: .*weights.safetensors: not a file of weights \(") as raised:
        read_weights(tmp_path / "weights.safetensors")
    assert "\n" not in str(raised.value)


def test_a_weight_that_is_reparametrized_has_its_plain_name():
    network = small()
    nn.utils.parametrize.register_parametrization(network[0], "weight", nn.Identity())
    assert "0.parametrizations.weight.original" in network.state_dict()
    weights = small()
    fit_into(network, given(weights), CLASSES)
    assert torch.equal(network[0].weight, weights[0].weight)
