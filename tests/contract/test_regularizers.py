"""Every regularizer: its formula, its expectation at test time, what it touches, and nothing when it is off."""

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
        penalized = runner.build.training(runner.compose([*words, f"reg={name}", f"reg.{name}.strength=0.3"]))
        batch = next(plain.train.epoch())
        before = plain.state.network[1].weight.detach().clone()
        losses = [training.step(training.state, batch)[0].item() for training in (plain, penalized)]
        assert losses[0] == losses[1]
        penalty, _ = PENALTIES[name]
        weight = before.clone().requires_grad_()
        made = copy.copy(penalty)
        made.strength = 0.3
        if name == "elastic_net":
            made.beta = 1.0
        made.penalty({"w": weight}).backward()
        difference = plain.state.network[1].weight - penalized.state.network[1].weight
        torch.testing.assert_close(difference, 0.1 * weight.grad, rtol=1e-4, atol=1e-6)


NOISY = {
    "dropout": Dropout(p=0.3),
    "vanilla dropout": Dropout(p=0.3, form="vanilla"),
    "channel dropout": Dropout(p=0.3, layers="conv"),
    "dropout of both": Dropout(p=0.3, layers="both"),
    "dropconnect": DropConnect(p=0.3),
    "dropconnect of channels": DropConnect(p=0.3, layers="conv"),
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
    torch.manual_seed(0)
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
    Dropout(layers="both").attach(network)
    assert not hasattr(network[0], "input_dropout")
    assert hasattr(network[4], "input_dropout")


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_drops_whole_branches_and_keeps_their_mean(mode):
    torch.manual_seed(0)
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


@pytest.mark.parametrize(("make", "end"), [(torchvision.models.resnet18, "bn2"), (torchvision.models.resnet50, "bn3")])
class TestStochasticDepthOfTorchvisionsResidualNetworks:
    def both(self, make, **options):
        torch.manual_seed(0)
        plain = make(num_classes=3).requires_grad_(False)
        dropped = copy.deepcopy(plain)
        StochasticDepth(**options).attach(dropped)
        return plain.eval(), dropped.eval()

    def test_acts_on_the_last_layer_of_each_branch_more_often_with_depth(self, make, end):
        _, network = self.both(make, last_survival=0.4)
        blocks = [m for m in network.modules() if type(m).__name__ in ("BasicBlock", "Bottleneck")]
        rates = [getattr(block, end).stochastic_depth.p for block in blocks]
        assert rates == pytest.approx([0.6 * number / len(blocks) for number in range(1, len(blocks) + 1)])
        assert sum(hasattr(module, "stochastic_depth") for module in network.modules()) == len(blocks)

    def test_leaves_the_scores_at_test_time_alone(self, make, end):
        plain, dropped = self.both(make)
        x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        assert torch.equal(dropped(x), plain(x))

    def test_leaves_the_branch_out_or_divides_it_by_its_survival(self, make, end):
        plain, dropped = self.both(make, last_survival=0.4)
        block, reference = dropped.layer4[-1], plain.layer4[-1]
        seen: list[torch.Tensor] = []
        getattr(reference, end).register_forward_hook(lambda layer, args, output: seen.append(output.clone()))
        x = torch.rand(1, reference.conv1.in_channels, 1, 1, generator=torch.Generator().manual_seed(1))
        reference(x)
        getattr(block, end).stochastic_depth.train()
        outputs = block(x.expand(400, -1, -1, -1))
        left_out = (outputs == x).flatten(1).all(1)  # relu(x) is x
        assert left_out.double().mean().item() == pytest.approx(0.6, abs=0.08)
        expected = (x + seen[0] / 0.4).relu()
        torch.testing.assert_close(outputs[~left_out], expected.expand_as(outputs[~left_out]))


@pytest.mark.parametrize(
    "regularizer", [Dropout(layers="both"), DropConnect(layers="both"), FractionalMaxPool(), MaxNorm(), L2()]
)
def test_each_works_on_torchvisions_networks(regularizer):
    network = torchvision.models.resnet18(num_classes=3)
    regularizer.attach(network)
    loss = network(torch.randn(2, 3, 32, 32)).sum()
    if isinstance(regularizer, L2):
        loss = loss + regularizer.penalty(dict(network.named_parameters()))
    loss.backward()
    if isinstance(regularizer, MaxNorm):
        regularizer.project_weights(network)
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

    def images(self, *shape):
        return torch.rand(*shape, generator=torch.Generator().manual_seed(0))

    def test_keeps_the_sizes_of_the_poolings_it_replaces(self):
        network = self.network()
        x = self.images(2, 3, 32, 32)
        assert network[0](x).shape == (2, 3, 16, 16)
        assert network(x).shape == (2, 3, 7, 7)
        assert network[0](x[..., :20]).shape == (2, 3, 16, 10)

    def test_draws_in_training_and_is_fixed_at_test(self):
        network = self.network()
        x = self.images(2, 3, 32, 32)
        torch.manual_seed(0)
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))

    def test_fixed_regions_have_every_output_as_the_maximum_of_its_own_window(self):
        # 8 becomes 6, then 4, by regions of 2. Region i of a pooling from N to n begins at
        # floor((i + u) a) - floor(u a), a = (N - 2) / (n - 1), and the last one at N - 2 (Graham 2014). Here
        # u = 1/2: a = 6/5: 0 1 3 4 5 6; a = 4/3: 0 2 3 4. So the outputs see pixels 0-2, 3-5, 4-6 and 5-7.
        windows = [slice(0, 3), slice(3, 6), slice(4, 7), slice(5, 8)]
        network = nn.Sequential(nn.MaxPool2d(2))
        FractionalMaxPool(num_test_passes=0).attach(network)
        x = self.images(2, 3, 8, 8)
        expected = torch.stack(
            [torch.stack([x[..., rows, columns].amax((2, 3)) for columns in windows], -1) for rows in windows], -2
        )
        assert torch.equal(network.eval()(x), expected)

    @pytest.mark.parametrize("training", [True, False])
    def test_the_channels_of_an_image_share_its_regions(self, training):
        ramp = torch.arange(64.0).reshape(1, 1, 8, 8)
        torch.manual_seed(0)
        pools = FractionalPools(nn.MaxPool2d(2), 1 / 2**0.5, num_test_passes=12).train(training)
        out = pools(ramp.expand(30, 16, 8, 8))
        assert torch.equal(out, out[:, :1].expand_as(out))
        assert (len(out.unique(dim=0)) > 1) == training  # at test those of a pass are the same for all images

    def test_scores_at_test_are_the_mean_probability_over_passes_with_regions_of_their_own(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5)).requires_grad_(False)
        FractionalMaxPool(num_test_passes=3).attach(network)
        x = self.images(4, 3, 8, 8)
        passes = []
        for test_pass in range(3):
            for pool in network[:2]:
                pool.test_pass = test_pass
            passes.append(network[2:](network[:2].eval()(x)).softmax(1))
            for pool in network[:2]:
                pool.test_pass = 0
        assert len(torch.stack(passes).unique(dim=0)) == 3
        torch.testing.assert_close(network.eval()(x).exp(), torch.stack(passes).mean(0))

    def test_a_step_of_training_is_one_pass(self):
        network = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 5))
        FractionalMaxPool(num_test_passes=3).attach(network)
        passes = []
        network[2].register_forward_hook(lambda layer, given, output: passes.append(output))
        x = self.images(4, 3, 8, 8)
        assert network.train()(x) is passes[0]
        assert len(passes) == 1
        network.eval()(x)
        assert len(passes) == 4

    def test_scores_of_an_image_do_not_depend_on_the_batch_or_on_what_was_drawn(self):
        torch.manual_seed(0)
        network = runner.build.model(runner.compose(["reg=fractional_max_pool", "model.channels=[4,4]"]))
        network.eval().requires_grad_(False)
        x = self.images(6, 1, 8, 8)
        before = torch.get_rng_state()
        whole = network(x)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)
        torch.testing.assert_close(network(x[2:4]), whole[2:4])
        torch.testing.assert_close(copy.deepcopy(network)(x), whole)

    def test_in_training_the_regions_of_a_pooling_move_by_one_pixel_or_two(self):
        # Brightness is 8 row + column, so a maximum names the last row and column of its region.
        x = torch.arange(64.0).reshape(1, 1, 8, 8).expand(300, 1, 8, 8)
        pools = FractionalPools(nn.MaxPool2d(2), 1 / 2**0.5)
        torch.manual_seed(0)
        out = pools.shrink(x, (6, 6), 0)
        rows, columns = out[:, 0, :, 0] // 8, out[:, 0, 0] % 8
        torch.testing.assert_close(out[:, 0], 8 * rows[:, :, None] + columns[:, None, :])
        for last in (rows, columns):
            assert (last[:, 0] == 1).all()  # a region of 2 at the edge
            assert (last[:, -1] == 7).all()
            assert set(last.diff(dim=1).unique().tolist()) == {1.0, 2.0}
            assert len(last.unique(dim=0)) > 1
        assert not torch.equal(rows, columns)

    @pytest.mark.parametrize(
        ("size", "target", "expected"),
        [(32, 16, [23, 16]), (8, 4, [6, 4]), (2, 1, [1]), (13, 6, [9, 6]), (27, 3, [19, 13, 9, 6, 4, 3]), (5, 5, [5])],
    )
    def test_sizes_fall_by_the_ratio(self, size, target, expected):
        assert sizes(size, target, 0.7071) == expected

    def test_a_pooling_that_keeps_the_size_is_left_alone(self):
        network = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.MaxPool2d(2), nn.MaxPool2d(2, stride=(1, 2)))
        FractionalMaxPool().attach(network)
        assert [isinstance(layer, FractionalPools) for layer in network] == [False, True, False]


def test_label_smoothing_equals_torchs():
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 5
    onehot = nn.functional.one_hot(labels, 5).float()
    ours = nn.functional.cross_entropy(scores, LabelSmoothing(0.2).transform_targets(onehot))
    torch.testing.assert_close(ours, nn.functional.cross_entropy(scores, labels, label_smoothing=0.2))


def test_max_norm_bounds_every_unit_and_leaves_the_small_ones():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight[0] *= 100
    before = network[0].weight.detach().clone()
    MaxNorm(max_norm=2.0).project_weights(network)
    norms = network[0].weight.flatten(1).norm(dim=1)
    assert norms[0].item() == pytest.approx(2.0, rel=1e-5)
    assert torch.equal(network[0].weight[1:], before[1:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=linear", "reg=dropout"], "reg.dropout.layers: nothing to act on"),
        (["model=mlp", "reg=dropout", "reg.dropout.layers=conv"], "choose model=convnet"),
        (["model=linear", "reg=dropconnect"], "reg.dropconnect.layers: nothing to act on"),
        (["model=mlp", "reg=stochastic_depth"], "reg.stochastic_depth: nothing to act on: it needs residual blocks"),
        (["model=mlp", "reg=fractional_max_pool"], "reg.fractional_max_pool: nothing to act on: it needs max pooling"),
    ],
)
def test_a_regularizer_with_nothing_to_act_on_says_what_it_needs(words, message):
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
