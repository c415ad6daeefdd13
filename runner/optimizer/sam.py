"""Sharpness-aware minimization: an update by the gradient at the worst nearby weights, of any optimizer.

`e = rho * g / |g|` climbs from the weights x by the gradient g of the whole network; the optimizer then moves x by the
gradient at x + e. The norm is over all parameters that are trained, and g has the gradients of the penalties, as in the
authors' code. Source: Foret et al. 2020, Sharpness-Aware Minimization, arXiv 2010.01412, equation 3.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from runner.optimizer.torch_kernels import foreach

AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)
TINY = 1e-12  # added to the norm, which may be 0


def with_sam(optimizer: AnyOptimizer, rho: float) -> AnyOptimizer:
    """The optimizer, whose updates are to be by the gradient at that distance; 0 for the usual ones."""
    optimizer.sam = rho  # type: ignore[attr-defined]
    return optimizer


def radius(optimizer: Optimizer) -> float:
    """How far the step climbs before it takes the gradient for an optimizer; 0 where it does not."""
    return float(getattr(optimizer, "sam", 0.0))


@torch.no_grad()
def climb(parameters: Sequence[Tensor], rho: float) -> list[Tensor]:
    """Move parameters, which all have gradients, by `rho * g / |g|`; the weights before, to be put back by `descend`.

    The scale of fp16's gradients cancels. Where one is infinite, the next gradients are no numbers, and the scaler
    leaves the update out.
    """
    before = [parameter.clone() for parameter in parameters]
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack(foreach("norm", grads)).norm()
    scale = rho / (norm + TINY)
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.addcmul_(grad, scale.to(grad.dtype))
    return before


@torch.no_grad()
def descend(parameters: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Put the weights back."""
    for parameter, weights in zip(parameters, before, strict=True):
        parameter.copy_(weights)
