"""The kernels of torch whose names begin with an underscore: nothing else in the package calls them.

A new torch may drop one or change its arguments. Then torch's own step does the same update, and lists of tensors are
changed one by one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

State = Mapping[str, Tensor]
Kernel = Callable[[list[Tensor], list[Tensor], Sequence[State], Mapping[str, Any]], None]


def foreach(name: str, tensors: Sequence[Tensor], *arguments: Any, **options: Any) -> Any:
    """The operation `name` of each tensor, in one call. An argument is a list, one for each, or a number for all."""
    together = getattr(torch, f"_foreach_{name}", None)
    if together is not None:
        return together(tensors, *arguments, **options)
    columns = [argument if isinstance(argument, list) else [argument] * len(tensors) for argument in arguments]
    if name == "addcdiv_" and len(columns) == 3:  # whose factor has a name where tensors go one by one
        return [x.addcdiv_(a, b, value=v) for x, a, b, v in zip(tensors, *columns, strict=True)]
    return [getattr(tensor, name)(*rest, **options) for tensor, *rest in zip(tensors, *columns, strict=True)]


def sgd(params: list[Tensor], grads: list[Tensor], states: Sequence[State], group: Mapping[str, Any]) -> None:
    """torch's fused update of parameters that share a group's settings. States that count updates have counted this."""
    options = {key: group[key] for key in ("lr", "momentum", "weight_decay", "dampening", "nesterov", "maximize")}
    velocities = [state["momentum_buffer"] for state in states] if group["momentum"] else []
    torch._fused_sgd_(params, grads, velocities, **options, is_first_step=False)


def adam(params: list[Tensor], grads: list[Tensor], states: Sequence[State], group: Mapping[str, Any]) -> None:
    """The same of Adam, and of AdamW, which is Adam with decoupled decay."""
    b1, b2 = group["betas"]
    options = {key: group[key] for key in ("lr", "weight_decay", "eps", "maximize")}
    means, squares, steps = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
    update = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    update(params, grads, means, squares, [], steps, beta1=b1, beta2=b2, amsgrad=False, **options)


KERNELS: Mapping[type[Optimizer], Kernel] = {SGD: sgd, Adam: adam, AdamW: adam}


@cache
def works(kernel: Kernel) -> bool:
    """Whether this torch still has the kernel, with the arguments that it is called with here."""
    group: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.0, "maximize": False}
    group |= {"momentum": 0.9, "dampening": 0.0, "nesterov": False}
    group |= {"betas": (0.9, 0.999), "eps": 1e-8, "decoupled_weight_decay": False}
    state = {name: torch.ones(1) for name in ("momentum_buffer", "exp_avg", "exp_avg_sq")} | {"step": torch.tensor(1.0)}
    try:
        kernel([torch.ones(1)], [torch.ones(1)], [state], group)
    except (AttributeError, TypeError, RuntimeError):
        return False
    return True
