"""The optimizers of one trial, by torch.optim wherever it has the same function.

`lr` is the base learning rate, which the schedule scales. `weight_decay` adds `weight_decay * x` to the gradient,
except in adamw and muon, where it shrinks the weights themselves (decoupled). It touches the weights of linear and
convolutional layers alone, as the penalties of `reg` do (`runner.decay`). `param_groups` gives some parameters
other settings. Notation: x parameters, g gradient, h mean of squares.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from runner.constraints import FractionBelowOne, NonNegative, Positive, PositiveInt
from runner.errors import UserError
from runner.optimizer.fast_step import FastAdagrad, FastAdam, FastAdamW, FastRMSprop, FastSGD
from runner.optimizer.own import Muon, UncorrectedAdam
from runner.optimizer.param_groups import ParamGroups, all_params, grouped

Betas = tuple[FractionBelowOne, FractionBelowOne]


def sgd(network: nn.Module, lr: Positive, weight_decay: NonNegative = 0, param_groups: ParamGroups = ()) -> Optimizer:
    """`x -= lr*g`."""
    params = grouped(network, lr, param_groups, ["weight_decay"])
    return FastSGD(params, lr=lr, weight_decay=weight_decay, **_kernels(params))


def momentum(
    network: nn.Module,
    lr: Positive,
    momentum: FractionBelowOne = 0.9,
    weight_decay: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`v = rho*v + g; x -= lr*v`, with v0 = 0 and rho `momentum`."""
    return _with_velocity(network, lr, momentum, weight_decay, param_groups, nesterov=False)


def nesterov(
    network: nn.Module,
    lr: Positive,
    momentum: Positive = 0.9,
    weight_decay: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`v' = rho*v - lr*g; x += v' + rho*(v' - v)`: the gradient at the shifted point, rewritten.

    torch scales its velocity by lr outside, so the two are equal while lr is constant; when a schedule lowers lr,
    torch's old velocity shrinks with it. Source: Sutskever et al. 2013.
    """
    return _with_velocity(network, lr, momentum, weight_decay, param_groups, nesterov=True)


def adagrad(
    network: nn.Module,
    lr: Positive,
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`h += g*g; x -= lr*g / (sqrt(h) + eps)`. Source: Duchi et al. 2011."""
    params = grouped(network, lr, param_groups, ["eps", "weight_decay"])
    return FastAdagrad(params, lr=lr, eps=eps, weight_decay=weight_decay, foreach=True)


def rmsprop(
    network: nn.Module,
    lr: Positive,
    alpha: FractionBelowOne = 0.99,
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`h = d*h + (1-d)*g*g; x -= lr*g / (sqrt(h) + eps)`, with d `alpha`. Source: Tieleman and Hinton 2012."""
    params = grouped(network, lr, param_groups, ["alpha", "eps", "weight_decay"])
    return FastRMSprop(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, foreach=True)


def adam(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
    bias_correction: bool = True,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`m = b1*m + (1-b1)*g; h = b2*h + (1-b2)*g*g; x -= lr*(m/(1-b1^t)) / (sqrt(h/(1-b2^t)) + eps)`.

    Without `bias_correction`, m and h as they are: the first steps are far too large. torch has no such switch, so
    that form is ours. Source: Kingma and Ba 2015, algorithm 1.
    """
    params = grouped(network, lr, param_groups, ["betas", "eps", "weight_decay"])
    b1, b2 = betas
    if not bias_correction:
        return UncorrectedAdam(params, lr=lr, betas=(b1, b2), eps=eps, weight_decay=weight_decay)
    return FastAdam(params, lr=lr, betas=(b1, b2), eps=eps, weight_decay=weight_decay, **_kernels(params))


def adamw(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """Adam with decoupled decay: `x -= lr*weight_decay*x` first. Source: Loshchilov and Hutter 2019."""
    params = grouped(network, lr, param_groups, ["betas", "eps", "weight_decay"])
    b1, b2 = betas
    return FastAdamW(params, lr=lr, betas=(b1, b2), eps=eps, weight_decay=weight_decay, **_kernels(params))


def muon(
    network: nn.Module,
    lr: Positive,
    momentum: FractionBelowOne = 0.95,
    nesterov: bool = True,
    num_iterations: PositiveInt = 5,
    weight_decay: NonNegative = 0.01,
    adamw_lr_scale: Positive = 0.15,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`v = rho*v + (1-rho)*g; x -= lr * sqrt(max(1, out/in)) * orthogonalized(v)`, decay decoupled as in AdamW.

    Biases and normalization layers get AdamW at `adamw_lr_scale * lr`.
    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    """
    params = grouped(network, lr, param_groups, ["momentum", "weight_decay"])
    return Muon(params, lr, momentum, nesterov, num_iterations, weight_decay, adamw_lr_scale)


def lbfgs(
    network: nn.Module,
    lr: Positive = 1.0,
    max_iter: PositiveInt = 20,
    history_size: PositiveInt = 10,
    line_search: bool = True,
) -> Optimizer:
    """L-BFGS: a quasi-Newton step from the last `history_size` gradients, `max_iter` inner steps an update.

    Needs the full batch and a deterministic loss. `line_search` by the strong Wolfe conditions.
    Source: Nocedal 1980; Nocedal and Wright 2006, algorithm 7.5.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    search = "strong_wolfe" if line_search else None
    return LBFGS(trained, lr=lr, max_iter=max_iter, history_size=history_size, line_search_fn=search)


def _with_velocity(
    network: nn.Module, lr: float, momentum: float, weight_decay: float, param_groups: ParamGroups, nesterov: bool
) -> Optimizer:
    params = grouped(network, lr, param_groups, ["momentum", "weight_decay"])
    kernels = _kernels(params)
    optimizer = FastSGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, **kernels)
    # torch's fused kernel makes the velocity at the first update, and leaves it uninitialized when the gradient scaling
    # of fp16 skips that one: NaN soon after. So v0 = 0 is written down.
    for parameter in all_params(params):
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _kernels(groups: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """One fused kernel for all parameters where the device has it, else one call for all (foreach)."""
    if not groups:
        raise UserError("model: has no parameter to train")
    device = groups[0]["params"][0].device.type
    return {"fused": True} if device in ("cpu", "cuda") else {"foreach": True}
