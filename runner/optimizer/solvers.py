"""The optimizers of one trial, by torch.optim wherever it has the same function.

`lr` is the base learning rate, which the schedule scales. `weight_decay` adds `weight_decay * x` to the gradient,
except in adamw, where it shrinks the weights themselves (decoupled). Notation: x parameters, g gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from runner.quantity import NonNegative, Positive, Probability

Params = Iterable[Tensor] | Iterable[dict[str, Any]]
Betas = tuple[Probability, Probability]


def sgd(params: Params, lr: Positive, weight_decay: NonNegative = 0) -> Optimizer:
    """`x -= lr*g`."""
    params = _listed(params)
    return SGD(params, lr=lr, weight_decay=weight_decay, **_kernels(params))


def momentum(params: Params, lr: Positive, momentum: Probability = 0.9, weight_decay: NonNegative = 0) -> Optimizer:
    """`v = rho*v + g; x -= lr*v`, with v0 = 0 and rho `momentum`."""
    params = _listed(params)
    return SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, **_kernels(params))


def nesterov(params: Params, lr: Positive, momentum: Probability = 0.9, weight_decay: NonNegative = 0) -> Optimizer:
    """`v' = rho*v - lr*g; x += v' + rho*(v' - v)`: the gradient at the shifted point, rewritten.

    torch scales its velocity by lr outside, so the two are equal while lr is constant; when a schedule lowers lr,
    torch's old velocity shrinks with it. Source: Sutskever et al. 2013.
    """
    params = _listed(params)
    kernels = _kernels(params)
    return SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0, **kernels)


def adam(
    params: Params,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-7,
    weight_decay: NonNegative = 0,
) -> Optimizer:
    """`m = b1*m + (1-b1)*g; h = b2*h + (1-b2)*g*g; x -= lr*(m/(1-b1^t)) / (sqrt(h/(1-b2^t)) + eps)`.

    Source: Kingma and Ba 2015, algorithm 1.
    """
    params = _listed(params)
    return Adam(params, lr=lr, betas=_pair(betas), eps=eps, weight_decay=weight_decay, **_kernels(params))


def adamw(
    params: Params,
    lr: Positive,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
) -> Optimizer:
    """Adam with decoupled decay: `x -= lr*weight_decay*x` first. Source: Loshchilov and Hutter 2019."""
    params = _listed(params)
    return AdamW(params, lr=lr, betas=_pair(betas), eps=eps, weight_decay=weight_decay, **_kernels(params))


def _listed(params: Params) -> list[Any]:
    return list(params)


def _pair(betas: Iterable[float]) -> tuple[float, float]:
    first, second = betas
    return first, second


def _kernels(params: list[Any]) -> dict[str, bool]:
    """One fused kernel for all parameters; `foreach` where the fused one does not exist."""
    first = params[0]["params"][0] if isinstance(params[0], dict) else params[0]
    if first.device.type in ("cuda", "cpu") and first.dtype in (torch.float32, torch.float64):
        return {"fused": True}
    return {"foreach": True}
