"""Every regulariser: its formula, its expectation at test time, what it touches, and nothing when it is off."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

import runner
from runner.errors import UserError
from runner.reg import (
    L1,
    L2,
    DropConnect,
    Dropout,
    ElasticNet,
    FractionalMaxPool,
    LabelSmoothing,
    MaxNorm,
    StochasticDepth,
)
from runner.reg.pooling import FractionalPools, sizes

PENALTIES = {
    "l2": (L2(strength=0.3), lambda w: 0.3 * w.square().sum()),
    "l1": (L1(strength=0.3), lambda w: 0.3 * w.abs().sum()),
    "elastic_net": (ElasticNet(strength=0.3, beta=2.0), lambda w: 0.3 * (2 * w.square() + w.abs()).sum()),
}


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6), nn.Linear(6, 3)
    )


@pytest.mark.parametrize("name", PENALTIES)
class TestPenalties:
    def test_equal_their_sum_over_weights_without_biases_and_norms(self, name):
        penalty, formula = PENALTIES[name]
        network = small_network()
        weights = [network[0].weight, network[4].weight, network[5].weight]
        expected = sum(formula(weight) for weight in weights)
        torch.testing.assert_close(penalty.penalty(dict(network.named_parameters())), expected)

    def test_touch_everything_when_asked(self, name):
        penalty, formula = PENALTIES[name]
        network = small_network()
        asked = copy.copy(penalty)
        asked.all_parameters = True
        expected = sum(formula(parameter) for parameter in network.parameters())
        torch.testing.assert_close(asked.penalty(dict(network.named_parameters())), expected)

    def test_are_part_of_the_gradient_but_not_of_the_reported_loss(self, name):
        words = ["model=linear", "optimizer=sgd", "engine.limit_batches=1"]
        plain = runner.build.training(runner.compose(words))
        penalised = runner.build.training(runner.compose([*words, f"reg={name}", f"reg.{name}.strength=0.3"]))
        batch = next(plain.train.epoch())
        before = plain.state.network[1].weight.detach().clone()
        losses = [training.step(training.state, batch)[0].item() for training in (plain, penalised)]
        assert losses[0] == losses[1]
        penalty, _ = PENALTIES[name]
        weight = before.clone().requires_grad_()
        made = copy.copy(penalty)
        made.strength = 0.3
        if name == "elastic_net":
            made.beta = 1.0
        made.penalty({"w": weight}).backward()
        difference = plain.state.network[1].weight - penalised.state.network[1].weight
        torch.testing.assert_close(difference, 0.1 * weight.grad, rtol=1e-4, atol=1e-6)


NOISY = {
    "dropout": Dropout(p=0.3),
    "vanilla dropout": Dropout(p=0.3, form="vanilla"),
    "channel dropout": Dropout(p=0.3, where="channels"),
    "dropout of both": Dropout(p=0.3, where="both"),
    "dropconnect": DropConnect(p=0.3),
    "dropconnect of channels": DropConnect(p=0.3, where="channels"),
}


@pytest.mark.parametrize("name", NOISY)
def test_the_mean_of_a_noisy_layer_is_its_value_at_test_time(name):
    # Linear from the noise on, so that the mean passes through the layers after it.
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 1)).double()
    if name == "dropconnect":
        network[3].bias.data.zero_()
    NOISY[name].attach(network)
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        network.train()
        draws = torch.stack([network(x) for _ in range(4000)]).squeeze()
        network.eval()
        expected = network(x).item()
    error = draws.std() / len(draws) ** 0.5
    assert draws.std() > 0.01, "no noise"
    assert abs(draws.mean() - expected) < 5 * error


def test_inverted_dropout_leaves_testing_alone_and_vanilla_leaves_training_alone():
    for form, mode in (("inverted", False), ("vanilla", True)):
        plain = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        dropped = copy.deepcopy(plain)
        Dropout(p=0.5, form=form).attach(dropped)
        plain.train(mode)
        dropped.train(mode)
        x = torch.ones(2000, 4)
        if not mode:
            assert torch.equal(plain(x), dropped(x))
        else:
            # Survivors keep their size: an input is either 0 or what it was.
            seen = dropped[1].input_dropout(x)
            assert set(seen.unique().tolist()) == {0.0, 1.0}
            assert seen.mean().item() == pytest.approx(0.5, abs=0.05)


def test_dropout_keeps_names_and_survives_a_deep_copy():
    network = small_network()
    names = [name for name, _ in network.named_parameters()]
    Dropout().attach(network)
    assert [name for name, _ in network.named_parameters()] == names
    average = copy.deepcopy(network).eval()
    network.train()
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(average(x), average(x)), "the copy drops in evaluation mode"


def test_dropout_never_touches_the_picture_itself():
    network = small_network()
    Dropout(where="both").attach(network)
    assert not hasattr(network[0], "input_dropout")
    assert hasattr(network[4], "input_dropout")


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_drops_whole_branches_and_keeps_their_mean(mode):
    network = runner.build.model(runner.compose(["model=resnet", "model.depth=20", "model.width=4"]))
    StochasticDepth(last_survival=0.4, mode=mode).attach(network)
    branch = network.blocks[-1].branch
    assert branch[-1].p == pytest.approx(0.6)
    survivals = [1 - block.branch[-1].p for block in network.blocks]
    assert survivals == pytest.approx([1 - 0.6 * (l + 1) / 9 for l in range(9)])  # noqa: E741
    x = torch.randn(1, 16, 2, 2)
    with torch.no_grad():
        network.eval()
        expected = branch(x)
        branch[-1].train()
        draws = torch.stack([branch(x) for _ in range(3000)])
    assert {round(float(d.abs().sum() / expected.abs().sum()), 3) for d in draws} == {0.0, 2.5}
    assert (draws.abs().sum((1, 2, 3, 4)) == 0).double().mean().item() == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize("make", [torchvision.models.resnet18, torchvision.models.resnet50])
def test_stochastic_depth_works_on_torchvisions_residual_networks(make):
    network = make(num_classes=3)
    StochasticDepth().attach(network)
    ends = [m for m in network.modules() if hasattr(m, "stochastic_depth")]
    blocks = [m for m in network.modules() if type(m).__name__ in ("BasicBlock", "Bottleneck")]
    assert len(ends) == len(blocks)
    assert all(isinstance(end, nn.BatchNorm2d) for end in ends)


@pytest.mark.parametrize(
    "regulariser", [Dropout(where="both"), DropConnect(where="both"), FractionalMaxPool(), MaxNorm(), L2()]
)
def test_each_works_on_torchvisions_networks(regulariser):
    network = torchvision.models.resnet18(num_classes=3)
    regulariser.attach(network)
    loss = network(torch.randn(2, 3, 32, 32)).sum()
    if isinstance(regulariser, L2):
        loss = loss + regulariser.penalty(dict(network.named_parameters()))
    loss.backward()
    if isinstance(regulariser, MaxNorm):
        regulariser.constrain(network)
        assert max(p.flatten(1).norm(dim=1).max() for p in network.parameters() if p.ndim > 1) <= 3.001
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_stochastic_depth_sets_the_rates_of_networks_that_have_it():
    network = torchvision.models.efficientnet_b0(num_classes=3)
    StochasticDepth(last_survival=0.5).attach(network)
    rates = [m.p for m in network.modules() if isinstance(m, torchvision.ops.StochasticDepth)]
    assert rates[-1] == pytest.approx(0.5)
    assert rates == sorted(rates)


class TestFractionalMaxPool:
    def network(self):
        network = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2))
        FractionalMaxPool().attach(network)
        return network

    def test_keeps_the_sizes_of_the_poolings_it_replaces(self):
        network = self.network()
        x = torch.rand(2, 3, 32, 32)
        assert network[0](x).shape == (2, 3, 16, 16)
        assert network(x).shape == (2, 3, 7, 7)

    def test_draws_in_training_and_is_fixed_at_test(self):
        network = self.network()
        x = torch.rand(2, 3, 32, 32)
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))

    def test_every_output_is_a_maximum_of_inputs_near_it(self):
        x = torch.arange(64.0).reshape(1, 1, 8, 8)
        pools = FractionalPools(nn.MaxPool2d(2), 0.7071)
        out = pools(x).flatten().tolist()
        assert out == sorted(out)
        assert out[-1] == 63.0

    @pytest.mark.parametrize(
        ("size", "target", "expected"), [(32, 16, [23, 16]), (8, 4, [6, 4]), (2, 1, [1]), (13, 6, [9, 6])]
    )
    def test_sizes_fall_by_the_ratio(self, size, target, expected):
        assert sizes(size, target, 0.7071) == expected


def test_label_smoothing_equals_torchs():
    scores = torch.randn(6, 5)
    labels = torch.arange(6) % 5
    onehot = nn.functional.one_hot(labels, 5).float()
    ours = nn.functional.cross_entropy(scores, LabelSmoothing(0.2).soften(onehot))
    torch.testing.assert_close(ours, nn.functional.cross_entropy(scores, labels, label_smoothing=0.2))


def test_max_norm_bounds_every_unit_and_leaves_the_small_ones():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight[0] *= 100
    before = network[0].weight.detach().clone()
    MaxNorm(max_norm=2.0).constrain(network)
    norms = network[0].weight.flatten(1).norm(dim=1)
    assert norms[0].item() == pytest.approx(2.0, rel=1e-5)
    assert torch.equal(network[0].weight[1:], before[1:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=linear", "reg=dropout"], "reg.dropout.where: nothing to act on"),
        (["model=mlp", "reg=dropout", "reg.dropout.where=channels"], "choose model=convnet"),
        (["model=linear", "reg=dropconnect"], "reg.dropconnect.where: nothing to act on"),
        (["model=mlp", "reg=stochastic_depth"], "reg.stochastic_depth: nothing to act on: it needs residual blocks"),
        (["model=mlp", "reg=fractional_max_pool"], "reg.fractional_max_pool: nothing to act on: it needs max pooling"),
    ],
)
def test_a_regulariser_with_nothing_to_act_on_says_what_it_needs(words, message):
    with pytest.raises(UserError, match=message):
        runner.build.model(runner.compose(words))


OFF = {
    "l2": "strength=0",
    "l1": "strength=0",
    "elastic_net": "strength=0",
    "dropout": "p=0",
    "dropconnect": "p=0",
    "stochastic_depth": "last_survival=1",
    "label_smoothing": "smoothing=0",
    "max_norm": "max_norm=1e9",
}


@pytest.mark.parametrize("name", OFF)
def test_at_strength_zero_nothing_changes(name):
    words = ["model=resnet", "model.depth=20", "model.width=4", "data.batch_size=16"]
    if name in ("dropout", "dropconnect"):
        words = ["model=mlp", "data.batch_size=16"]
    plain = runner.build.training(runner.compose(words))
    losses = [plain.step(plain.state, batch)[0].item() for batch, _ in zip(plain.train.epoch(), range(3), strict=False)]
    off = runner.build.training(runner.compose([*words, f"reg={name}", f"reg.{name}.{OFF[name]}"]))
    same = [off.step(off.state, batch)[0].item() for batch, _ in zip(off.train.epoch(), range(3), strict=False)]
    assert same == pytest.approx(losses, rel=1e-4)
