"""The optimizers of one trial, by torch.optim wherever it has the same function.

`lr` is the base learning rate, which the schedule scales. `weight_decay` adds `weight_decay * x` to the gradient,
except in adamw, lion, lamb and muon, where it shrinks the weights themselves (decoupled). It touches the weights of
linear and convolutional layers alone, as the penalties of `reg` do (`runner.decay`), unless `decay_norms_and_biases`.
`param_groups` gives some parameters other settings, `layer_decay` lower rates to earlier layers. `sam` is read by the
step (`runner.engine.step`). Notation: x parameters, g gradient, h mean of squares.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from runner.constraints import FractionBelowOne, NonNegative, Positive, PositiveInt
from runner.errors import UserError
from runner.optimizer.fast_step import FastAdagrad, FastAdam, FastAdamW, FastRMSprop, FastSGD
from runner.optimizer.own import Lamb, Lion, Muon, NAdam, UncorrectedAdam
from runner.optimizer.param_groups import LayerDecay, ParamGroups, all_params, grouped
from runner.optimizer.sam import with_sam

Betas = tuple[FractionBelowOne, FractionBelowOne]


def sgd(
    network: nn.Module,
    lr: Positive,
    weight_decay: NonNegative = 0,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`x -= lr*g`."""
    params = grouped(network, lr, param_groups, ["weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(FastSGD(params, lr=lr, weight_decay=weight_decay, **_kernels(params)), sam)


def momentum(
    network: nn.Module,
    lr: Positive,
    momentum: FractionBelowOne = 0.9,
    weight_decay: NonNegative = 0,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`v = rho*v + g; x -= lr*v`, with v0 = 0 and rho `momentum`."""
    params = grouped(network, lr, param_groups, ["momentum", "weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(_with_velocity(params, lr, momentum, weight_decay, nesterov=False), sam)


def nesterov(
    network: nn.Module,
    lr: Positive,
    momentum: Positive = 0.9,
    weight_decay: NonNegative = 0,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`v' = rho*v - lr*g; x += v' + rho*(v' - v)`: the gradient at the shifted point, rewritten.

    torch scales its velocity by lr outside, so the two are equal while lr is constant; when a schedule lowers lr,
    torch's old velocity shrinks with it. Source: Sutskever et al. 2013.
    """
    params = grouped(network, lr, param_groups, ["momentum", "weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(_with_velocity(params, lr, momentum, weight_decay, nesterov=True), sam)


def adagrad(
    network: nn.Module,
    lr: Positive,
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`h += g*g; x -= lr*g / (sqrt(h) + eps)`. Source: Duchi et al. 2011."""
    params = grouped(network, lr, param_groups, ["eps", "weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(FastAdagrad(params, lr=lr, eps=eps, weight_decay=weight_decay, foreach=True), sam)


def rmsprop(
    network: nn.Module,
    lr: Positive,
    alpha: FractionBelowOne = 0.99,
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`h = d*h + (1-d)*g*g; x -= lr*g / (sqrt(h) + eps)`, with d `alpha`. Source: Tieleman and Hinton 2012."""
    params = grouped(network, lr, param_groups, ["alpha", "eps", "weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(FastRMSprop(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, foreach=True), sam)


def adam(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
    bias_correction: bool = True,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`m = b1*m + (1-b1)*g; h = b2*h + (1-b2)*g*g; x -= lr*(m/(1-b1^t)) / (sqrt(h/(1-b2^t)) + eps)`.

    Without `bias_correction`, m and h as they are: the first steps are far too large. torch has no such switch, so
    that form is ours. Source: Kingma and Ba 2015, algorithm 1.
    """
    params = grouped(network, lr, param_groups, ["betas", "eps", "weight_decay"], decay_norms_and_biases, layer_decay)
    b1, b2 = betas
    settings: dict[str, Any] = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay}
    if not bias_correction:
        return with_sam(UncorrectedAdam(params, **settings), sam)
    return with_sam(FastAdam(params, **settings, **_kernels(params)), sam)


def adamw(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """Adam with decoupled decay: `x -= lr*weight_decay*x` first. Source: Loshchilov and Hutter 2019."""
    params = grouped(network, lr, param_groups, ["betas", "eps", "weight_decay"], decay_norms_and_biases, layer_decay)
    b1, b2 = betas
    settings: dict[str, Any] = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay}
    return with_sam(FastAdamW(params, **settings, **_kernels(params)), sam)


def nadam(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    momentum_decay: NonNegative = 4e-3,
    weight_decay: NonNegative = 0,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`x -= lr * (mu(t+1)*m/(1-M(t+1)) + (1-mu(t))*g/(1-M(t))) / (sqrt(h/(1-b2^t)) + eps)`: a Nesterov form of Adam.

    m and h as in Adam, `mu(t) = b1 * (1 - 0.96^(t*psi)/2)` with psi `momentum_decay`, M the product of all mu so far.
    Source: Dozat 2016, Incorporating Nesterov Momentum into Adam, as torch.optim.NAdam has it.
    """
    options = ["betas", "eps", "momentum_decay", "weight_decay"]
    params = grouped(network, lr, param_groups, options, decay_norms_and_biases, layer_decay)
    b1, b2 = betas
    return with_sam(NAdam(params, lr, (b1, b2), eps, momentum_decay, weight_decay), sam)


def lion(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.99),
    weight_decay: NonNegative = 0.1,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`x -= lr*sign(b1*m + (1-b1)*g); m = b2*m + (1-b2)*g`, decay decoupled as in AdamW.

    Every weight moves by lr. The paper's advice: a rate 3 to 10 times below AdamW's, a decay as many times above.
    Source: Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, algorithm 2.
    """
    params = grouped(network, lr, param_groups, ["betas", "weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(Lion(params, lr, betas, weight_decay), sam)


def lamb(
    network: nn.Module,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-6,
    weight_decay: NonNegative = 0.01,
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`u = (m/(1-b1^t)) / (sqrt(h/(1-b2^t)) + eps) + weight_decay*x; x -= lr * |x|/|u| * u`, m and h as in Adam.

    The norms are those of each weight tensor; where one is 0 the ratio is 1. Biases and normalization layers, whose
    norms say little, move by lr * u: as in the authors' own BERT training. Source: You et al. 2019, Large Batch
    Optimization for Deep Learning, algorithm 2.
    """
    params = grouped(network, lr, param_groups, ["betas", "eps", "weight_decay"], decay_norms_and_biases, layer_decay)
    return with_sam(Lamb(params, lr, betas, eps, weight_decay), sam)


def muon(
    network: nn.Module,
    lr: Positive,
    momentum: FractionBelowOne = 0.95,
    nesterov: bool = True,
    num_iterations: PositiveInt = 5,
    weight_decay: NonNegative = 0.01,
    adamw_lr_scale: Positive = 0.15,
    normalize_weights: bool = False,
    others: Literal["adamw", "nesterov"] = "adamw",
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
    sam: NonNegative = 0,
    param_groups: ParamGroups = (),
) -> Optimizer:
    """`v = rho*v + (1-rho)*g; x -= lr * sqrt(max(1, out/in)) * orthogonalized(v)`, decay decoupled as in AdamW.

    `others`, biases and normalization layers, get AdamW at `adamw_lr_scale * lr`, or `nesterov` with its decay in the
    gradient. A group with `orthogonalize: false` counts among them. `normalize_weights` makes `|x| = sqrt(out)` before
    each step.

    Sources: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks; normalized weights, and
    Nesterov's momentum for the others, are those of the script airbench94_muon.py.
    """
    options = ["momentum", "weight_decay", "orthogonalize"]
    params = grouped(network, lr, param_groups, options, decay_norms_and_biases, layer_decay)
    more = adamw_lr_scale, normalize_weights, others
    return with_sam(Muon(params, lr, momentum, nesterov, num_iterations, weight_decay, *more), sam)


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
    params: list[dict[str, Any]], lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> Optimizer:
    kernels = _kernels(params)
    optimizer = FastSGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, **kernels)
    # torch's fused kernel makes the velocity at the first update, and leaves it uninitialized when the gradient scaling
    # of fp16 skips that one: NaN soon after. So v0 = 0 is written down.
    for parameter in all_params(params):
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _kernels(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One fused kernel for all parameters where the device has it, else one call for all (foreach)."""
    if not groups:
        raise UserError("model: has no parameter to train")
    device = groups[0]["params"][0].device.type
    return {"fused": True} if device in ("cpu", "cuda") else {"foreach": True}
