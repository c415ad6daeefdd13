"""Every optimizer: its formula in plain numpy, its state through save and load, a problem that it solves."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

import runner
from runner import config
from runner.errors import UserError

LR = 0.05


def sgd(x, g, state, t, lr=LR):
    return x - lr * g


def momentum(x, g, state, t, lr=LR, rho=0.9):
    state["v"] = rho * state.get("v", 0) + g
    return x - lr * state["v"]


def nesterov(x, g, state, t, lr=LR, rho=0.9):
    v = state.get("v", np.zeros_like(x))
    state["v"] = rho * v - lr * g
    return x + state["v"] + rho * (state["v"] - v)


def adagrad(x, g, state, t, lr=LR):
    state["h"] = state.get("h", 0) + g * g
    return x - lr * g / (np.sqrt(state["h"]) + 1e-7)


def rmsprop(x, g, state, t, lr=LR, d=0.99):
    state["h"] = d * state.get("h", 0) + (1 - d) * g * g
    return x - lr * g / (np.sqrt(state["h"]) + 1e-7)


def adam(x, g, state, t, lr=LR, b1=0.9, b2=0.999, eps=1e-7, corrected=True):
    state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
    state["h"] = b2 * state.get("h", 0) + (1 - b2) * g * g
    m = state["m"] / (1 - b1**t) if corrected else state["m"]
    h = state["h"] / (1 - b2**t) if corrected else state["h"]
    return x - lr * m / (np.sqrt(h) + eps)


def decayed(x, share):
    return x * (1 - share) if x.ndim > 1 else x


def uncorrected_adam(x, g, state, t):
    return adam(x, g, state, t, corrected=False)


def adamw(x, g, state, t, decay=0.01):
    return adam(decayed(x, LR * decay), g, state, t, eps=1e-8)


def muon(x, g, state, t, rho=0.95, decay=0.01):
    if x.ndim == 1:
        return adam(x, g, state, t, lr=0.15 * LR, b2=0.95, eps=1e-8)
    v = state["v"] = rho * state.get("v", 0) + (1 - rho) * g
    X = rho * v + (1 - rho) * g
    rows, columns = X.shape
    X = X.T if rows > columns else X
    X = X / (np.linalg.norm(X) + 1e-7)
    for _ in range(5):
        gram = X @ X.T
        X = 3.4445 * X + (-4.7750 * gram + 2.0315 * gram @ gram) @ X
    X = X.T if rows > columns else X
    return x * (1 - LR * decay) - LR * max(1, rows / columns) ** 0.5 * X


def nadam(x, g, state, t, b1=0.9, b2=0.999, eps=1e-8, psi=4e-3):
    def mu(t):
        return b1 * (1 - 0.5 * 0.96 ** (t * psi))

    state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
    state["h"] = b2 * state.get("h", 0) + (1 - b2) * g * g
    now = np.prod([mu(i) for i in range(1, t + 1)])
    m = mu(t + 1) * state["m"] / (1 - now * mu(t + 1)) + (1 - mu(t)) * g / (1 - now)
    return x - LR * m / (np.sqrt(state["h"] / (1 - b2**t)) + eps)


def lion(x, g, state, t, b1=0.9, b2=0.99, decay=0.1):
    m = state.get("m", np.zeros_like(x))
    state["m"] = b2 * m + (1 - b2) * g
    return decayed(x, LR * decay) - LR * np.sign(b1 * m + (1 - b1) * g)


def lamb(x, g, state, t, b1=0.9, b2=0.999, eps=1e-6, decay=0.01):
    state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
    state["h"] = b2 * state.get("h", 0) + (1 - b2) * g * g
    u = state["m"] / (1 - b1**t) / (np.sqrt(state["h"] / (1 - b2**t)) + eps)
    if x.ndim == 1:
        return x - LR * u
    u = u + decay * x
    return x - LR * np.linalg.norm(x) / np.linalg.norm(u) * u


FORMULAS = {
    "sgd": (["optimizer=sgd"], sgd),
    "momentum": (["optimizer=momentum"], momentum),
    "nesterov": (["optimizer=nesterov"], nesterov),
    "adagrad": (["optimizer=adagrad"], adagrad),
    "rmsprop": (["optimizer=rmsprop"], rmsprop),
    "adam": (["optimizer=adam"], adam),
    "adam, uncorrected": (["optimizer=adam", "optimizer.bias_correction=false"], uncorrected_adam),
    "adamw": (["optimizer=adamw"], adamw),
    "muon": (["optimizer=muon"], muon),
    "nadam": (["optimizer=nadam"], nadam),
    "lion": (["optimizer=lion"], lion),
    "lamb": (["optimizer=lamb"], lamb),
}


class Quadratic(nn.Module):
    """`sum a (x - c)^2 / 2` over a matrix and a vector, in double precision so that only the formula counts."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        numbers = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(4, 3, generator=numbers, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(5, generator=numbers, dtype=torch.float64))
        self.scales = [torch.rand(p.shape, generator=numbers, dtype=torch.float64) + 0.1 for p in self.parameters()]
        self.centers = [torch.randn(p.shape, generator=numbers, dtype=torch.float64) for p in self.parameters()]

    def loss(self) -> torch.Tensor:
        terms = zip(self.parameters(), self.scales, self.centers, strict=True)
        return sum((a * (x - c) ** 2).sum() / 2 for x, a, c in terms)


def optimizer_for(words, network):
    return runner.build.optimizer(runner.compose([*words, f"optimizer.lr={LR}"]), network)


def update(network, optimizer):
    optimizer.zero_grad()
    network.loss().backward()
    optimizer.step()


@pytest.mark.parametrize("name", FORMULAS)
def test_a_parameter_without_a_gradient_stays_as_it_is(name):
    network = Quadratic()
    optimizer = optimizer_for(FORMULAS[name][0], network)
    network.loss().backward()
    network.bias.grad = None
    before = [parameter.detach().clone() for parameter in (network.bias, network.weight)]
    optimizer.step()
    assert torch.equal(network.bias, before[0])
    assert not torch.equal(network.weight, before[1])


@pytest.mark.parametrize("name", FORMULAS)
def test_a_hundred_updates_equal_the_formula(name):
    words, formula = FORMULAS[name]
    network = Quadratic()
    optimizer = optimizer_for(words, network)
    expected = [parameter.detach().numpy().copy() for parameter in network.parameters()]
    states = [{} for _ in expected]
    for t in range(1, 101):
        update(network, optimizer)
        for i, x in enumerate(expected):
            gradient = network.scales[i].numpy() * (x - network.centers[i].numpy())
            expected[i] = formula(x, gradient, states[i], t)
        for parameter, x in zip(network.parameters(), expected, strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), x, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_state_survives_save_and_load_midway(name):
    words, _ = FORMULAS[name]
    network = Quadratic()
    optimizer = optimizer_for(words, network)
    for _ in range(10):
        update(network, optimizer)
    other = Quadratic(seed=1)
    other.scales, other.centers = network.scales, network.centers
    other.load_state_dict(network.state_dict())
    loaded = optimizer_for(words, other)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(10):
        update(network, optimizer)
        update(other, loaded)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_small_problem_is_minimized(name):
    words, _ = FORMULAS[name]
    network = Quadratic()
    optimizer = optimizer_for(words, network)
    before = network.loss().item()
    for _ in range(300):
        update(network, optimizer)
    # AdaGrad slows down as it should; the decay of AdamW, Lion and Muon keeps them off the exact minimum, and Lion's
    # and LAMB's steps do not become smaller near it.
    assert network.loss().item() < (0.3 if name in ("adagrad", "muon", "lion", "lamb") else 0.05) * before


def test_the_first_step_without_bias_correction_is_about_three_times_too_large():
    steps = {}
    for corrected in ("true", "false"):
        network = Quadratic()
        before = network.bias.detach().clone()
        update(network, optimizer_for(["optimizer=adam", f"optimizer.bias_correction={corrected}"], network))
        steps[corrected] = (network.bias - before).abs().mean().item()
    assert steps["true"] == pytest.approx(LR, rel=1e-5)
    assert steps["false"] / steps["true"] == pytest.approx(0.1 / 0.001**0.5, rel=1e-3)


def test_nadam_equals_torchs():
    ours, theirs = Quadratic().float(), Quadratic().float()
    ours_optimizer = optimizer_for(["optimizer=nadam", "optimizer.momentum_decay=0.01"], ours)
    theirs_optimizer = torch.optim.NAdam(theirs.parameters(), lr=LR, momentum_decay=0.01)
    for _ in range(50):
        update(ours, ours_optimizer)
        update(theirs, theirs_optimizer)
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_muon_equals_torchs_on_matrices():
    ours, theirs = Quadratic(), Quadratic()
    for network in (ours, theirs):
        network.bias.requires_grad_(False)
        network.float()
    ours_optimizer = optimizer_for(["optimizer=muon"], ours)
    theirs_optimizer = torch.optim.Muon([theirs.weight], lr=LR, momentum=0.95, weight_decay=0.01, nesterov=True)
    for _ in range(20):
        update(ours, ours_optimizer)
        update(theirs, theirs_optimizer)
    # torch's iterates in bfloat16 on every device.
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", [name for name in FORMULAS if name not in ("adamw", "muon", "lion", "lamb")])
def test_weight_decay_adds_to_the_gradient(name):
    words, formula = FORMULAS[name]
    network = Quadratic()
    optimizer = optimizer_for([*words, "optimizer.weight_decay=0.5"], network)
    x, scales, centers = network.weight.detach().numpy().copy(), network.scales[0].numpy(), network.centers[0].numpy()
    state = {}
    for t in range(1, 6):
        update(network, optimizer)
        x = formula(x, scales * (x - centers) + 0.5 * x, state, t)
        np.testing.assert_allclose(network.weight.detach().numpy(), x, rtol=1e-6, atol=1e-12)


DECAYED = ["model=convnet", "model.channels=[4]", "model.hidden=6", "model.activation=prelu"]
DECAYED += ["optimizer.lr=0.01", "data.batch_size=8"]


def moves(*words):
    """How far each parameter of a network moves in three updates, by its name."""
    training = runner.build.training(runner.compose([*DECAYED, *words]))
    before = {name: parameter.detach().clone() for name, parameter in training.state.network.named_parameters()}
    for parameter in training.state.network.parameters():
        parameter.register_hook(torch.zeros_like)  # nothing but the decay moves them
    for _, batch in zip(range(3), training.train.epoch(0), strict=False):
        training.step(training.state, batch)
    after = dict(training.state.network.named_parameters())
    return {name: (after[name] - value).abs().max().item() for name, value in before.items()}, before


DECAYING = [path.stem for path in sorted((config.folder() / "optimizer").glob("*.yaml")) if path.stem != "lbfgs"]


@pytest.mark.parametrize("optimizer", DECAYING)
def test_weight_decay_moves_matrices_and_filters_alone(optimizer):
    moved, parameters = moves(f"optimizer={optimizer}", "optimizer.weight_decay=0.1")
    assert {name for name, distance in moved.items() if distance} == {n for n, p in parameters.items() if p.ndim > 1}
    assert {"1.weight", "1.bias", "2.weight", "5.bias", "6.weight"} <= parameters.keys()  # norm, slopes and biases


@pytest.mark.parametrize("optimizer", DECAYING)
def test_one_key_decays_norms_and_biases_too(optimizer):
    moved, _ = moves(f"optimizer={optimizer}", "optimizer.weight_decay=0.1", "optimizer.decay_norms_and_biases=true")
    start_at_zero = {"1.bias", "5.bias", "7.bias"}
    still = {name for name, distance in moved.items() if not distance}
    assert still <= start_at_zero
    assert {"1.weight", "2.weight"}.isdisjoint(still)  # the norm's scale, and a PReLU's slope


def test_lamb_without_a_norm_moves_as_if_the_ratio_were_one():
    network = Quadratic()
    with torch.no_grad():
        network.weight.zero_()
    update(network, optimizer_for(["optimizer=lamb", "optimizer.weight_decay=0"], network))
    torch.testing.assert_close(network.weight.abs(), torch.full_like(network.weight, LR), rtol=1e-4, atol=0)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "nadam"])
def test_weight_decay_is_half_the_lectures_penalty_in_every_parameter(optimizer):
    reached = []
    for words in (
        ["optimizer.weight_decay=0.02"],
        ["reg=l2", "reg.l2.strength=0.01"],
    ):  # whose gradient is 2 s W
        eps = ["optimizer.eps=1e-3"] if optimizer in ("adagrad", "rmsprop", "adam", "nadam") else []
        training = runner.build.training(runner.compose([*DECAYED, f"optimizer={optimizer}", *eps, *words]))
        for _, batch in zip(range(5), training.train.epoch(0), strict=False):
            training.step(training.state, batch)
        reached.append(training.state.network.state_dict())
    for name, value in reached[0].items():
        torch.testing.assert_close(reached[1][name], value, rtol=1e-3, atol=1e-5)


def test_the_keys_of_each_optimizer_change_its_update():
    keys = {
        "momentum": [("momentum=0.5", {"rho": 0.5})],
        "nesterov": [("momentum=0.5", {"rho": 0.5})],
        "rmsprop": [("alpha=0.9", {"d": 0.9})],
        "adam": [("betas=[0.5,0.9]", {"b1": 0.5, "b2": 0.9}), ("eps=0.1", {"eps": 0.1})],
        "adamw": [("weight_decay=0.5", {"decay": 0.5})],
        "nadam": [("momentum_decay=0.5", {"psi": 0.5}), ("betas=[0.5,0.9]", {"b1": 0.5, "b2": 0.9})],
        "lion": [("betas=[0.5,0.9]", {"b1": 0.5, "b2": 0.9}), ("weight_decay=0.5", {"decay": 0.5})],
        "lamb": [("betas=[0.5,0.9]", {"b1": 0.5, "b2": 0.9}), ("weight_decay=0.5", {"decay": 0.5})],
        "muon": [("weight_decay=0.5", {"decay": 0.5}), ("momentum=0.5", {"rho": 0.5})],
    }
    for name, changes in keys.items():
        words, formula = FORMULAS[name]
        for word, changed in changes:
            network = Quadratic()
            optimizer = optimizer_for([*words, f"optimizer.{word}"], network)
            x, state = network.weight.detach().numpy().copy(), {}
            for t in range(1, 6):
                update(network, optimizer)
                gradient = network.scales[0].numpy() * (x - network.centers[0].numpy())
                x = formula(x, gradient, state, t, **changed)
                np.testing.assert_allclose(network.weight.detach().numpy(), x, rtol=1e-6, err_msg=f"{name} {word}")


def test_lbfgs_beats_sgd_on_a_deterministic_problem():
    reached = {}
    for words in (["optimizer=lbfgs", "optimizer.lr=1"], ["optimizer=sgd", "optimizer.lr=0.5"]):
        network = Quadratic()
        optimizer = runner.build.optimizer(runner.compose(words), network)

        def closure(network=network, optimizer=optimizer):
            optimizer.zero_grad()
            loss = network.loss()
            loss.backward()
            return loss

        if "lbfgs" in words[0]:
            optimizer.step(closure)  # 20 inner iterations
        else:
            for _ in range(25):
                update(network, optimizer)
        reached[words[0]] = network.loss().item()
    assert reached["optimizer=lbfgs"] < 1e-3 * reached["optimizer=sgd"]


class TestSharpnessAware:
    """A linear classifier, whose gradients are worked out by numpy: `g = (p - y) x` of the mean cross-entropy."""

    words = ("model=linear", "optimizer=sgd", "optimizer.lr=0.1", "data.batch_size=32", "init=he", "init.score_gain=1")

    def trained(self, *words, steps=3):
        training = runner.build.training(runner.compose([*self.words, *words]))
        before = [parameter.detach().double().numpy().copy() for parameter in training.state.network.parameters()]
        batches = [batch for batch, _ in zip(training.train.epoch(), range(steps), strict=False)]
        found = [training.step(training.state, batch)[0].item() for batch in batches]
        return training.state.network, before, batches, found

    @staticmethod
    def gradients(W, b, images, labels):
        x = images.flatten(1).double().numpy()
        scores = x @ W.T + b
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(len(p)), labels]).mean()
        p[np.arange(len(p)), labels] -= 1
        return p.T @ x / len(p), p.mean(0), loss

    @pytest.mark.parametrize("rho", [0.05, 1.0])
    @pytest.mark.parametrize("more", [[], ["engine.accumulate_steps=2", "data.batch_size=16"]])
    def test_an_update_is_by_the_gradient_uphill(self, rho, more):
        network, (W, b), batches, found = self.trained(f"optimizer.sam={rho}", *more)
        for (images, labels), loss in zip(batches, found, strict=True):
            gW, gb, expected = self.gradients(W, b, images, labels)
            scale = rho / np.sqrt((gW**2).sum() + (gb**2).sum())
            assert loss == pytest.approx(expected, rel=1e-4)  # the loss that is told is that of the weights
            uW, ub, _ = self.gradients(W + scale * gW, b + scale * gb, images, labels)
            W, b = W - 0.1 * uW, b - 0.1 * ub
        for parameter, expected in zip(network.parameters(), (W, b), strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-3, atol=1e-5)

    def test_the_gradient_uphill_is_the_one_that_is_clipped(self):
        network, (W, b), ((images, labels),), _ = self.trained("optimizer.sam=1", "engine.clip_grad_norm=0.01", steps=1)
        gW, gb, _ = self.gradients(W, b, images, labels)
        scale = 1 / np.sqrt((gW**2).sum() + (gb**2).sum())
        uW, ub, _ = self.gradients(W + scale * gW, b + scale * gb, images, labels)
        shrink = 0.01 / np.sqrt((uW**2).sum() + (ub**2).sum())
        np.testing.assert_allclose(network[1].weight.detach().numpy(), W - 0.1 * shrink * uW, rtol=1e-3, atol=1e-6)

    def test_running_statistics_are_those_of_the_weights_that_stay(self):
        words = ["model=convnet", "model.channels=[4]", "model.hidden=0", "optimizer=sgd", "optimizer.lr=1e-30"]
        found = []
        for rho in ("0", "5"):
            training = runner.build.training(runner.compose([*words, f"optimizer.sam={rho}"]))
            batches = training.train.epoch()
            for _ in range(3):
                training.step(training.state, next(batches))
            found.append(training.state.network.state_dict())
        for name, value in found[0].items():
            torch.testing.assert_close(found[1][name], value, rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize("optimizer", DECAYING)
    def test_every_optimizer_takes_it(self, optimizer):
        moved = []
        for rho in ("0", "0.5"):
            words = [*DECAYED, f"optimizer={optimizer}", f"optimizer.sam={rho}"]
            training = runner.build.training(runner.compose(words))
            batches = training.train.epoch()
            for _ in range(3):
                loss, _ = training.step(training.state, next(batches))
                assert loss.isfinite().all()
            moved.append(training.state.network.state_dict()["0.weight"])
        assert not torch.equal(*moved)


class TestLayerDecay:
    def rates(self, network, *words):
        cfg = runner.compose(["optimizer=momentum", "optimizer.lr=0.1", *words])
        groups = runner.build.optimizer(cfg, network).param_groups
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        return {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}

    def test_each_layer_has_the_rate_of_the_next_times_the_factor(self):
        network = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(8, 3)
        )
        found = self.rates(network, "optimizer.layer_decay=0.5")
        expected = {"0": 0.025, "1": 0.025, "2": 0.05, "4": 0.1}
        assert {name: pytest.approx(expected[name[0]]) for name in found} == found

    def test_blocks_of_a_residual_network_are_its_layers(self):
        network = runner.build.model(runner.compose(["model=resnet", "data=synthetic"]))
        found = self.rates(network, "optimizer.layer_decay=0.9")
        order = ["conv1", *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)), "fc"]
        for distance, prefix in enumerate(reversed(order)):
            (rate,) = {rate for name, rate in found.items() if name.startswith(prefix + ".")}
            assert rate == pytest.approx(0.1 * 0.9**distance)
        assert found["bn1.weight"] == found["conv1.weight"]

    def test_the_first_group_has_the_whole_rate_and_groups_of_ones_own_are_scaled_too(self):
        network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        cfg = runner.compose(
            [
                *("optimizer=adamw", "optimizer.lr=0.1", "optimizer.layer_decay=0.5"),
                "optimizer.param_groups=[{params:biases,lr_scale:2}]",
            ]
        )
        groups = runner.build.optimizer(cfg, network).param_groups
        assert [(group["params"][0].shape[0], group["lr"]) for group in groups] == [
            (2, pytest.approx(0.1)),
            (3, pytest.approx(0.05)),
            (2, pytest.approx(0.2)),
            (3, pytest.approx(0.1)),
        ]

    def test_a_factor_above_one_is_refused(self):
        for value in (0, 1.5):
            with pytest.raises(UserError, match=rf"^optimizer.layer_decay: must be above 0 and at most 1, not {value}"):
                config.check(runner.compose([f"optimizer.layer_decay={value}"]))


def test_a_class_of_torchs_needs_none_of_our_keys_unless_they_do_something():
    words = ["optimizer._target_=torch.optim.Adamax"]
    cfg = runner.compose([*words])
    config.check(cfg)
    assert type(runner.build.optimizer(cfg, nn.Linear(2, 2))) is torch.optim.Adamax
    with pytest.raises(UserError, match=r"^optimizer.sam: no such key"):
        config.check(runner.compose([*words, "optimizer.sam=0.1"]))


class TestGroups:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))

    def groups(self, text, *words):
        cfg = runner.compose(["optimizer=momentum", f"optimizer.param_groups={text}", "optimizer.lr=0.1", *words])
        return runner.build.optimizer(cfg, self.network).param_groups

    def test_each_parameter_belongs_to_the_first_group_that_matches(self):
        rest, scales, biases, head = self.groups("[{params:biases,weight_decay:0.5},{params:'3.*',lr_scale:10}]")
        assert [p.shape for p in biases["params"]] == [(2,), (2,), (3,)]
        assert (biases["weight_decay"], biases["lr"]) == (0.5, 0.1)
        assert [p.shape for p in head["params"]] == [(3, 8)]
        assert (head["weight_decay"], head["lr"]) == (0.0, 1.0)
        assert [p.shape for group in (rest, scales) for p in group["params"]] == [(2, 1, 3, 3), (2,)]

    def test_what_is_not_decayed_makes_a_group_of_its_own(self):
        found = self.groups("[{params:'3.*',lr_scale:10}]", "optimizer.weight_decay=0.3")
        shapes = [[tuple(p.shape) for p in group["params"]] for group in found]
        assert shapes == [[(2, 1, 3, 3)], [(2,), (2,), (2,)], [(3, 8)], [(3,)]]
        assert [group["weight_decay"] for group in found] == [0.3, 0.0, 0.3, 0.0]
        assert [group["lr"] for group in found] == pytest.approx([0.1, 0.1, 1.0, 1.0])

    def test_norms_and_their_biases_are_kinds(self):
        *_, norms = self.groups("[{params:norms}]")
        assert [p.shape for p in norms["params"]] == [(2,), (2,)]
        *_, norm_biases = self.groups("[{params:norm_biases,lr_scale:64}]")
        assert norm_biases["lr"] == pytest.approx(6.4)
        assert norm_biases["params"][0] is self.network[1].bias

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[{params:nothing}]", r"groups\[0\].params: 'nothing' matches no parameter"),
            ("[{params:biases,weight_decy:0}]", r"groups\[0\].weight_decy: no such key; did you mean 'weight_decay'"),
            ("[{weight_decay:0}]", r"groups\[0\].params: must be set"),
            ("[{params:biases,lr_scale:-1}]", r"groups\[0\].lr_scale: must be a number, at least 0"),
            ("[{params:biases,lr_scale:true}]", r"groups\[0\].lr_scale: must be a number, at least 0, not True"),
            ("[{params:biases,lr_scale:much}]", r"groups\[0\].lr_scale: must be a number, at least 0, not 'much'"),
            (
                "[{params:biases,freeze_after_epochs:soon}]",
                r"groups\[0\].freeze_after_epochs: must be a number of epochs",
            ),
            (
                "[{params:biases,freeze_after_epochs:-1}]",
                r"groups\[0\].freeze_after_epochs: must be a number of epochs",
            ),
            ("[{params:'*',freeze_after_epochs:1}]", r"groups: every parameter is in a group with freeze_after_epochs"),
            ("[{params:'*',lr_scale:0}]", r"groups: every parameter is in a group with .* or lr_scale 0; leave one"),
            ("[{params:biases},{params:'*.bias'}]", r"groups\[1\].params: '\*.bias' matches no parameter"),
        ],
    )
    def test_a_wrong_group_is_named(self, text, message):
        with pytest.raises(UserError, match=message):
            self.groups(text)

    def test_the_schedule_keeps_the_ratio_of_the_rates(self):
        cfg = runner.compose(
            ["optimizer=momentum", "optimizer.param_groups=[{params:biases,lr_scale:2}]", "schedule=cosine"]
        )
        optimizer = runner.build.optimizer(cfg, self.network)
        schedule = runner.build.schedule(cfg, optimizer, steps_per_epoch=10)
        for _ in range(50):
            optimizer.step()
            schedule.step()
        rest, _, biases = schedule.get_last_lr()
        assert biases == pytest.approx(2 * rest)
        assert rest < cfg.optimizer.lr

    @pytest.mark.parametrize("name", ["momentum", "adamw", "rmsprop"])
    def test_a_group_that_has_ended_keeps_its_values_and_takes_no_gradients(self, name):
        words = [
            f"optimizer={name}",
            "optimizer.weight_decay=0.1",
            "optimizer.param_groups=[{params:bias,freeze_after_epochs:0.5}]",
        ]
        cfg = runner.compose(words)

        def made(network):
            optimizer = runner.build.optimizer(cfg, network)
            return optimizer, runner.build.schedule(cfg, optimizer, steps_per_epoch=10)

        network = Quadratic()
        optimizer, schedule = made(network)
        seen = [network.bias.detach().clone()]
        for _ in range(8):
            update(network, optimizer)
            schedule.step()
            seen.append(network.bias.detach().clone())
        assert [torch.equal(one, next_) for one, next_ in itertools.pairwise(seen)] == [False] * 5 + [True] * 3
        assert network.bias.grad is None
        resumed = Quadratic()
        _, later = made(resumed)
        assert resumed.bias.requires_grad
        later.load_state_dict(schedule.state_dict())
        assert not resumed.bias.requires_grad


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ([], "data.batch_size"),
        (["data.batch_size=2000", "augment=crop"], "augment"),
        (["data.batch_size=2000", "reg=[l2,dropout]"], "reg"),
        (["data.batch_size=2000", "engine.precision=bf16"], "engine.precision"),
        (["data.batch_size=2000", "engine.clip_grad_norm=1"], "engine.clip_grad_norm"),
    ],
)
def test_lbfgs_with_any_noise_is_refused_with_the_reason(words, key):
    cfg = runner.compose(["optimizer=lbfgs", "model=mlp", *words])
    with pytest.raises(UserError, match=rf"^{key}: .*lbfgs"):
        runner.build.training(cfg)


def test_the_keys_of_lbfgs_are_torchs():
    words = ["optimizer=lbfgs", "optimizer.lr=0.5", "optimizer.max_iter=3", "optimizer.history_size=4"]
    for search, expected in (("true", "strong_wolfe"), ("false", None)):
        cfg = runner.compose([*words, f"optimizer.line_search={search}"])
        (group,) = runner.build.optimizer(cfg, Quadratic()).param_groups
        assert [group[key] for key in ("lr", "max_iter", "history_size")] == [0.5, 3, 4]
        assert group["line_search_fn"] == expected


def test_lbfgs_takes_a_network_with_dropout_once_that_is_zero():
    words = ["optimizer=lbfgs", "model=alexnet", "model.width=0.05", "data.batch_size=2000"]
    with pytest.raises(UserError, match=r"^model: .*lbfgs.* its layer classifier.0 is dropout; set model.dropout=0,"):
        runner.build.training(runner.compose(words))
    runner.build.training(runner.compose([*words, "model.dropout=0"]))


def test_lbfgs_trains_on_the_full_batch(tmp_path):
    words = ["optimizer=lbfgs", "model=linear", "data.batch_size=2000", "engine.epochs=2", f"output_dir={tmp_path}"]
    run = runner.train([*words, "log.progress=none", "log.tensorboard=false"])
    assert run.metrics[-1]["train/loss"] < 0.5 * run.metrics[0]["train/loss"]
