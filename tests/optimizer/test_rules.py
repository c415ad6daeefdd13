"""Rules for T trials at once: each row moves as the trial's own optimizer moves it."""

from functools import partial

import pytest
import torch
from torch import nn

from runner import optimizer as optimizers
from runner.errors import CannotVectorize
from runner.optimizer.rules import hyper_parameters, rule_for

T, UPDATES = 3, 40
SHAPES = {"weight": (4, 3), "kernel": (2, 3, 3, 3), "bias": (5,)}


def decoupled_adam(network, **options):
    return torch.optim.Adam(network.parameters(), decoupled_weight_decay=True, **options)


def torch_sgd(network, **options):
    return torch.optim.SGD(network.parameters(), **options)


MADE = {
    "sgd": (optimizers.sgd, [{"lr": 0.1}, {"lr": 0.01}, {"lr": 0.1, "weight_decay": 0.3}]),
    "momentum": (optimizers.momentum, [{"lr": 0.1, "momentum": rho} for rho in (0.0, 0.9, 0.99)]),
    "nesterov": (optimizers.nesterov, [{"lr": 0.1, "momentum": rho} for rho in (0.1, 0.9, 0.99)]),
    "adagrad": (optimizers.adagrad, [{"lr": 0.1, "eps": eps} for eps in (1e-7, 1e-3, 1.0)]),
    "rmsprop": (optimizers.rmsprop, [{"lr": 0.1, "alpha": alpha} for alpha in (0.9, 0.99, 0.999)]),
    "adam": (optimizers.adam, [{"lr": 0.1, "betas": (b1, 0.999)} for b1 in (0.0, 0.9, 0.99)]),
    "adam, decayed": (optimizers.adam, [{"lr": 0.1, "weight_decay": decay} for decay in (0.0, 0.1, 1.0)]),
    "sgd of torch": (torch_sgd, [{"lr": lr} for lr in (0.1, 0.2, 0.3)]),
    "decoupled adam of torch": (decoupled_adam, [{"lr": 0.1, "weight_decay": decay} for decay in (0.0, 0.1, 1.0)]),
    "adam, uncorrected": (
        optimizers.adam,
        [{"lr": 0.1, "betas": (b1, 0.99), "bias_correction": False} for b1 in (0.0, 0.9, 0.99)],
    ),
    "adamw": (optimizers.adamw, [{"lr": 0.1, "weight_decay": decay} for decay in (0.0, 0.1, 1.0)]),
    "nadam": (optimizers.nadam, [{"lr": 0.1, "betas": (b1, 0.99)} for b1 in (0.0, 0.9, 0.99)]),
    "nadam, rising": (optimizers.nadam, [{"lr": 0.1, "momentum_decay": psi} for psi in (0.0, 4e-3, 1.0)]),
    "lion": (optimizers.lion, [{"lr": 0.1, "betas": (b1, 0.9), "weight_decay": b1} for b1 in (0.0, 0.9, 0.5)]),
    "lamb": (optimizers.lamb, [{"lr": 0.1, "betas": (b1, 0.9), "weight_decay": b1} for b1 in (0.0, 0.9, 0.5)]),
    "muon, normalized": (
        partial(optimizers.muon, normalize_weights=True, others="nesterov"),
        [{"lr": lr, "momentum": 0.9, "weight_decay": decay} for lr, decay in ((0.1, 0.0), (0.2, 0.1), (0.3, 1.0))],
    ),
    "muon, not orthogonalized": (
        partial(optimizers.muon, param_groups=[{"params": "*", "orthogonalize": False}]),
        [{"lr": lr} for lr in (0.1, 0.2, 0.3)],
    ),
    "muon": (optimizers.muon, [{"lr": 0.1, "momentum": 0.9, "weight_decay": decay} for decay in (0.0, 0.1, 1.0)]),
}


def network(trial):
    made, numbers = nn.Module(), torch.Generator().manual_seed(trial)
    for name, shape in SHAPES.items():
        made.register_parameter(name, nn.Parameter(torch.randn(shape, generator=numbers, dtype=torch.float64)))
    return made


def groups_of(optimizer, network):
    """The parameter group of each parameter."""
    found = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    return [found[parameter] for parameter in network.parameters()]


@pytest.mark.parametrize("name", MADE)
def test_each_row_moves_as_its_own_optimizer_moves_it(name):
    make, options = MADE[name]
    networks = [network(trial) for trial in range(T)]
    single = [make(net, **own) for net, own in zip(networks, options, strict=True)]
    groups = [groups_of(optimizer, net) for optimizer, net in zip(single, networks, strict=True)]
    hypers = []
    for of_parameter in zip(*groups, strict=True):
        numbers = [hyper_parameters(optimizer, own) for optimizer, own in zip(single, of_parameter, strict=True)]
        hypers.append({key: torch.tensor([own[key] for own in numbers], dtype=torch.float64) for key in numbers[0]})
    together = [torch.stack([net.get_parameter(key).detach() for net in networks]) for key in SHAPES]
    pairs = zip(groups[0], networks[0].parameters(), strict=True)
    rules = [rule_for(single[0], group, parameter) for group, parameter in pairs]
    states = [rule.init(x) for rule, x in zip(rules, together, strict=True)]
    draws = torch.Generator().manual_seed(9)
    for t in range(1, UPDATES + 1):
        gradients = [torch.randn(x.shape, generator=draws, dtype=x.dtype) for x in together]
        for trial, (net, optimizer) in enumerate(zip(networks, single, strict=True)):
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter.grad = gradient[trial].clone()
            optimizer.step()
        for x, gradient, rule, state, hyper in zip(together, gradients, rules, states, hypers, strict=True):
            before = gradient.clone()
            rule.update(x, gradient, state, hyper, t)
            assert torch.equal(before, gradient), "the gradient is left as it is"
    for trial, net in enumerate(networks):
        for x, parameter, rule, state in zip(together, net.parameters(), rules, states, strict=True):
            torch.testing.assert_close(x[trial], parameter.detach(), rtol=1e-9, atol=1e-11)
            for key in rule.names:
                own = single[trial].state[parameter]
                # torch makes no use of a velocity whose momentum is 0.
                if not (key == "momentum_buffer" and options[trial]["momentum"] == 0):
                    torch.testing.assert_close(state[key][trial], own[key], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda params: torch.optim.Adamax(params), "^optimizer: Adamax cannot be vectorized"),
        (
            lambda params: torch.optim.Adam(params, amsgrad=True),
            "^optimizer.amsgrad: Adam with it cannot be vectorized",
        ),
        (lambda params: torch.optim.RMSprop(params, momentum=0.9), "^optimizer.momentum: RMSprop with it"),
        (
            lambda params: torch.optim.SGD(params, lr=1, momentum=0.9, dampening=0.1),
            "^optimizer.dampening: SGD with it",
        ),
    ],
)
def test_an_optimizer_or_option_without_a_rule_is_refused(make, message):
    made = make([nn.Parameter(torch.zeros(2))])
    with pytest.raises(CannotVectorize, match=message):
        rule_for(made, made.param_groups[0], made.param_groups[0]["params"][0])
