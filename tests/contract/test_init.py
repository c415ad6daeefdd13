"""Every initialization, as the lecture shows it: the size of activations through ten layers."""

import pytest
import torch
from torch import nn

import runner
from runner.init import KEPT, SCORES, Auto, Default, Dirac, He, Large, Small, Xavier
from runner.init.initializers import saturates

WIDTH, DEPTH = 500, 10


def activation_stds(make, activation):
    """Standard deviations of the activations of each of ten layers of 500 units, for normal inputs."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(WIDTH, WIDTH), activation()) for _ in range(DEPTH)]
    make(nn.Sequential(*layers, nn.Linear(WIDTH, 10)))  # class scores last
    x = torch.randn(1000, WIDTH)
    stds = []
    with torch.no_grad():
        for layer in layers:
            x = layer(x)
            stds.append(x.std().item())
    return stds, x


def test_small_weights_let_tanh_activations_vanish():
    stds, _ = activation_stds(Small(), nn.Tanh)
    assert stds[0] == pytest.approx(0.01 * WIDTH**0.5, rel=0.1)
    assert stds[-1] < 1e-6


def test_large_weights_saturate_tanh():
    _, last = activation_stds(Large(), nn.Tanh)
    assert (last.abs() > 0.99).float().mean() > 0.9


def test_xavier_keeps_tanh_activations_alive_but_lets_relu_fade():
    stds, last = activation_stds(Xavier(), nn.Tanh)
    assert 0.15 < stds[-1] < stds[0] < 0.75
    assert (last.abs() > 0.99).float().mean() < 0.01
    faded, _ = activation_stds(Xavier(), nn.ReLU)
    assert faded[-1] < 0.1 * faded[0]


def test_he_keeps_relu_activations_at_one_size():
    stds, _ = activation_stds(He(), nn.ReLU)
    assert stds[-1] == pytest.approx(stds[0], rel=0.3)


@pytest.mark.parametrize(
    ("name", "std"), [("small", 0.01), ("large", 1.0), ("xavier", (1 / 576) ** 0.5), ("he", (2 / 576) ** 0.5)]
)
def test_weights_have_the_standard_deviation_of_the_fan_in_and_biases_are_zero(name, std):
    torch.manual_seed(0)
    words = ["data=synthetic", "model.channels=[64,128]", "model.norm=none", f"init={name}"]
    second = [m for m in runner.build.model(runner.compose(words)).modules() if isinstance(m, nn.Conv2d)][1]
    assert second.weight.std().item() == pytest.approx(std, rel=0.05)
    assert second.weight.mean().abs().item() < 0.02 * std
    assert not second.bias.any()
    doubled = runner.build.model(runner.compose([*words, "init.gain=2"]))
    second = [m for m in doubled.modules() if isinstance(m, nn.Conv2d)][1]
    assert second.weight.std().item() == pytest.approx(2 * std, rel=0.05)


def three_layers():
    layers = nn.Linear(400, 300), nn.Linear(300, 200), nn.Linear(200, 100)
    return layers, nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


@pytest.mark.parametrize("make", [He, Xavier, Auto, Small, Large])
def test_the_layer_that_gives_scores_has_a_start_of_its_own(make):
    layers, network = three_layers()
    make(score_gain=0.05)(network)
    assert layers[-1].weight.std().item() == pytest.approx(0.05 / 200**0.5, rel=0.05)
    torch.manual_seed(0)
    make(score_gain=None)(network)
    kept = [layer.weight.detach().clone() for layer in layers]
    assert kept[-1].std() / kept[-2].std() == pytest.approx(1 if make in (Small, Large) else 1.5**0.5, rel=0.05)
    torch.manual_seed(0)
    make(score_gain=0)(network)
    assert all(torch.equal(layer.weight, old) for layer, old in zip(layers[:2], kept[:2], strict=True))
    assert not layers[-1].weight.any()


def test_chosen_biases_start_at_one():
    layers, network = three_layers()
    Small(unit_biases=["0.*", "4.bias"])(network)
    assert [layer.bias.unique().tolist() for layer in layers] == [[1.0], [0.0], [1.0]]
    with pytest.raises(
        runner.UserError, match=r"^init.unit_biases: '9.bias' matches no bias .* like 0.bias, 2.bias, 4.bias$"
    ):
        Small(unit_biases=["9.bias"])(network)
    many = nn.Sequential(*(nn.Linear(2, 2) for _ in range(6)))
    with pytest.raises(runner.UserError, match=r" like 0.bias, 1.bias, 2.bias, 3.bias$"):
        Small(unit_biases=["9.bias"])(many)


def test_the_first_layer_may_have_a_further_factor():
    layers, network = three_layers()
    Small(first_gain=255)(network)
    assert [layer.weight.std().item() for layer in layers] == pytest.approx([2.55, 0.01, 0.01], rel=0.05)


def test_a_network_may_mark_the_layers_that_give_scores():
    layers, network = three_layers()
    for layer in layers[:2]:
        setattr(layer, SCORES, True)
    He(score_gain=0)(network)
    assert [bool(layer.weight.any()) for layer in layers] == [False, False, True]


def test_a_network_that_scales_its_scores_itself_keeps_the_start_of_its_last_layer():
    layers, network = three_layers()
    setattr(layers[2], SCORES, False)
    He(score_gain=0)(network)
    assert layers[2].weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.05)


def test_a_trained_layer_that_gives_scores_keeps_its_weights():
    layers, network = three_layers()
    setattr(layers[2], KEPT, True)
    before = layers[2].weight.detach().clone()
    He(score_gain=0)(network)
    assert torch.equal(layers[2].weight, before)
    assert layers[1].weight.any()


# Variance times fan-in of the second convolution: 1 for Xavier, 2 for He.
# A leaky ReLU of slope a has 2 / (1 + a^2), and PReLU's first slope is 0.25.
AUTO = {"tanh": 1, "sigmoid": 1, "relu": 2, "leaky_relu": 2, "elu": 2, "maxout": 2, "gelu": 2, "silu": 2}
AUTO |= {"prelu": 2 / 1.0625, "leaky_relu:0.5": 2 / 1.25, "identity": 1, "elu:0.5": 2}


@pytest.mark.parametrize("activation", AUTO)
@pytest.mark.parametrize("model", ["convnet", "alexnet"])
def test_by_default_the_activation_decides(model, activation):
    words = ["data=synthetic", f"model={model}", f"model.activation={activation}"]
    words += ["model.channels=[64,64]"] if model == "convnet" else ["model.width=0.25"]
    second = [m for m in runner.build.model(runner.compose(words)).modules() if isinstance(m, nn.Conv2d)][1]
    variance = second.weight.var().item() * second.weight[0].numel()
    assert variance == pytest.approx(AUTO[activation], rel=0.1)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Tanh(), nn.Sigmoid()], True),
        ([nn.Tanh(), nn.Tanh()], True),
        ([nn.Tanh(), nn.ReLU()], False),
        ([nn.Linear(2, 2)], False),
    ],
)
def test_xavier_is_for_networks_of_tanh_and_sigmoid_alone(layers, expected):
    assert saturates(nn.Sequential(*layers)) is expected


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.5, 0.9])
def test_he_keeps_the_size_of_activations_that_leak(slope):
    stds, _ = activation_stds(He(), lambda: nn.LeakyReLU(slope))
    assert stds[-1] == pytest.approx(stds[0], rel=0.3)
    leaky, plain = nn.Linear(500, 500), nn.Linear(500, 500)
    torch.manual_seed(0)
    He(score_gain=None)(nn.Sequential(leaky, nn.LeakyReLU(slope)))
    torch.manual_seed(0)
    He(score_gain=None)(nn.Sequential(plain, nn.ReLU()))
    gains = nn.init.calculate_gain("leaky_relu", slope) / nn.init.calculate_gain("relu")
    assert (leaky.weight / plain.weight).mean().item() == pytest.approx(gains, rel=1e-5)


def test_activations_of_several_slopes_are_as_relu_to_he():
    first = nn.Linear(500, 500)
    He()(nn.Sequential(first, nn.LeakyReLU(0.5), nn.Linear(500, 500), nn.ReLU(), nn.Linear(500, 10)))
    assert first.weight.var().item() * 500 == pytest.approx(2, rel=0.05)


def test_a_sigmoid_beside_another_activation_decides_nothing():
    linear = nn.Linear(500, 500)
    Auto()(nn.Sequential(linear, nn.SiLU(), nn.Sigmoid(), nn.Linear(500, 10)))  # as in EfficientNet
    assert linear.weight.var().item() * 500 == pytest.approx(2, rel=0.05)


def test_xavier_is_the_glorot_of_a_square_layer():
    ours, theirs = nn.Linear(600, 600), nn.Linear(600, 600)
    Xavier(score_gain=None)(ours)
    nn.init.xavier_normal_(theirs.weight)
    assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    narrow = nn.Linear(600, 60)
    Xavier(score_gain=None)(narrow)
    assert narrow.weight.var().item() == pytest.approx(1 / 600, rel=0.05)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3), nn.Conv1d(4, 4, 5), nn.Conv2d(4, 8, 3, groups=2)], ids=str
)
def test_dirac_passes_the_input_on_and_leaves_the_filters_beyond_it(layer):
    torch.manual_seed(0)
    before = layer.weight.detach().clone()
    Dirac()(layer)
    assert not layer.bias.any()
    sizes = [side // 2 * 2 + 1 for side in layer.kernel_size]
    x = torch.randn(2, layer.in_channels, *[7] * len(sizes))
    y = nn.functional.pad(x, [side // 2 for side in sizes for _ in range(2)])
    pairs = zip(layer(y).chunk(layer.groups, 1), x.chunk(layer.groups, 1), strict=True)
    for number, (group, inputs) in enumerate(pairs):
        count = min(group.shape[1], inputs.shape[1])
        torch.testing.assert_close(group[:, :count], inputs[:, :count])
        start = number * group.shape[1]
        rest = slice(start + count, start + group.shape[1])
        assert torch.equal(layer.weight[rest], before[rest])


def test_default_leaves_each_layer_as_torch_made_it():
    torch.manual_seed(3)
    layer = nn.Linear(5, 4)
    before = layer.weight.detach().clone()
    Default()(layer)
    assert torch.equal(layer.weight, before)
    assert layer.bias.any()
