"""Adam without its bias correction, to see what the correction is for."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from runner.optimizer.torch_kernels import foreach


class UncorrectedAdam(Optimizer):
    """`m = b1*m + (1-b1)*g; h = b2*h + (1-b2)*g*g; x -= lr*m / (sqrt(h) + eps)`.

    With b1 0.9 and b2 0.999 the first step is `lr * 0.1 / sqrt(0.001)`, about 3.2 times too large.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            params = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not params:
                continue
            grads: Any = [parameter.grad for parameter in params]
            if group["weight_decay"]:
                grads = foreach("add", grads, params, alpha=group["weight_decay"])
            for parameter in params:
                if not self.state[parameter]:
                    self.state[parameter] = {key: torch.zeros_like(parameter) for key in ("m", "h")}
            m = [self.state[parameter]["m"] for parameter in params]
            h = [self.state[parameter]["h"] for parameter in params]
            b1, b2 = group["betas"]
            foreach("lerp_", m, grads, 1 - b1)
            foreach("mul_", h, b2)
            foreach("addcmul_", h, grads, grads, value=1 - b2)
            denominators = foreach("sqrt", h)
            foreach("add_", denominators, group["eps"])
            foreach("addcdiv_", params, m, denominators, value=-group["lr"])
