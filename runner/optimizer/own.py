"""Optimizers that torch lacks: Lion, LAMB, Muon for a whole network, and Adam without its bias correction.

And NAdam, whose product of momenta torch keeps in single precision, and in another one after a load.

torch.optim.Muon takes matrices only; ours takes convolutions too, as matrices [out, in*k*k], and updates the
parameters that are no matrices (biases, normalization) by AdamW, so that it trains a whole network.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from runner.decay import is_decayed
from runner.optimizer.torch_kernels import foreach

A, B, C = 3.4445, -4.7750, 2.0315  # coefficients of the quintic iteration


class UncorrectedAdam(Optimizer):
    """`m = b1*m + (1-b1)*g; h = b2*h + (1-b2)*g*g; x -= lr*m / (sqrt(h) + eps)`, to see what the correction is for.

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


class NAdam(Optimizer):
    """See `nadam`. State: `m`, `h`, `t`, and `mu`, the product of all mu so far."""

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        momentum_decay: float,
        weight_decay: float,
    ) -> None:
        settings = {"betas": betas, "eps": eps, "momentum_decay": momentum_decay, "weight_decay": weight_decay}
        super().__init__(params, {"lr": lr, **settings})

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
            (b1, b2), psi = group["betas"], group["momentum_decay"]
            of_g, of_m, scales = [], [], []
            for parameter in params:
                state = self.state[parameter]
                if not state:
                    state.update(m=torch.zeros_like(parameter), h=torch.zeros_like(parameter), t=0, mu=1.0)
                state["t"] += 1
                mu, later = (b1 * (1 - 0.5 * 0.96 ** ((state["t"] + ahead) * psi)) for ahead in (0, 1))
                state["mu"] *= mu
                of_g.append(-group["lr"] * (1 - mu) / (1 - state["mu"]))
                of_m.append(-group["lr"] * later / (1 - state["mu"] * later))
                scales.append((1 - b2 ** state["t"]) ** -0.5)
            m = [self.state[parameter]["m"] for parameter in params]
            h = [self.state[parameter]["h"] for parameter in params]
            foreach("lerp_", m, grads, 1 - b1)
            foreach("mul_", h, b2)
            foreach("addcmul_", h, grads, grads, value=1 - b2)
            roots = foreach("sqrt", h)
            foreach("mul_", roots, scales)
            foreach("add_", roots, group["eps"])
            foreach("addcdiv_", params, grads, roots, of_g)
            foreach("addcdiv_", params, m, roots, of_m)


class Lion(Optimizer):
    """See `lion`. State: `m`."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            params = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not params:
                continue
            for parameter in params:
                if not self.state[parameter]:
                    self.state[parameter] = {"m": torch.zeros_like(parameter)}
            m: list[Tensor] = [self.state[parameter]["m"] for parameter in params]
            grads: Any = [parameter.grad for parameter in params]
            (b1, b2), lr = group["betas"], group["lr"]
            if group["weight_decay"]:
                foreach("mul_", params, 1 - lr * group["weight_decay"])
            directions = foreach("lerp", m, grads, 1 - b1)
            foreach("add_", params, foreach("sign", directions), alpha=-lr)
            foreach("lerp_", m, grads, 1 - b2)


class Lamb(Optimizer):
    """See `lamb`. State: `m`, `h` and `t`."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for x in group["params"]:
                if x.grad is None:
                    continue
                state = self.state[x]
                if not state:
                    state.update(m=torch.zeros_like(x), h=torch.zeros_like(x), t=0)
                state["t"] += 1
                b1, b2 = group["betas"]
                state["m"].lerp_(x.grad, 1 - b1)
                state["h"].lerp_(x.grad.square(), 1 - b2)
                m, h = state["m"] / (1 - b1 ** state["t"]), state["h"] / (1 - b2 ** state["t"])
                u = m / h.sqrt().add_(group["eps"]) + group["weight_decay"] * x
                if is_decayed(x):
                    u.mul_(trust(x.norm(), u.norm()))
                x.add_(u, alpha=-group["lr"])


def trust(weights: Tensor, update: Tensor) -> Tensor:
    """LAMB's ratio of the norms of weights and their update; 1 where one of them is 0."""
    return torch.where((weights > 0) & (update > 0), weights / update.clamp(min=torch.finfo(update.dtype).tiny), 1.0)


class Muon(Optimizer):
    """See `muon`. State: `v` for matrices; for the rest `m`, `h` and `t`, or `momentum_buffer`."""

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float,
        nesterov: bool,
        num_iterations: int,
        weight_decay: float,
        adamw_lr_scale: float,
        normalize_weights: bool = False,
        others: Literal["adamw", "nesterov"] = "adamw",
    ) -> None:
        self.nesterov = nesterov
        self.num_iterations = num_iterations
        self.adamw_lr_scale = adamw_lr_scale
        self.normalize_weights = normalize_weights
        self.others = others
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "orthogonalize": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update_of(parameter, group)(parameter, parameter.grad, group)

    def _update_of(self, parameter: Tensor, group: dict[str, Any]) -> Callable[[Tensor, Tensor, dict[str, Any]], None]:
        if parameter.ndim > 1 and group.get("orthogonalize", True):
            return self._update_matrix
        return self._update_by_nesterov if self.others == "nesterov" else self._update_by_adamw

    def _update_matrix(self, x: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        state = self.state[x]
        if not state:
            state["v"] = torch.zeros_like(x)
        v, rho = state["v"], group["momentum"]
        v.lerp_(g, 1 - rho)
        direction = g.lerp(v, rho) if self.nesterov else v
        matrix = direction.flatten(1)
        scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        if self.normalize_weights:
            x.mul_(len(x) ** 0.5 / x.norm())
        x.mul_(1 - group["lr"] * group["weight_decay"])
        x.add_(orthogonalized(matrix, self.num_iterations).reshape(x.shape), alpha=-group["lr"] * scale)

    def _update_by_nesterov(self, x: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        state, rho = self.state[x], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(x)
        g = g.add(x, alpha=group["weight_decay"])
        v = state["momentum_buffer"].mul_(rho).add_(g)
        x.add_(g.add(v, alpha=rho), alpha=-group["lr"])

    def _update_by_adamw(self, x: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        state = self.state[x]
        if not state:
            state.update(m=torch.zeros_like(x), h=torch.zeros_like(x), t=0)
        state["t"] += 1
        b1, b2, lr = 0.9, 0.95, group["lr"] * self.adamw_lr_scale
        state["m"].lerp_(g, 1 - b1)
        state["h"].lerp_(g.square(), 1 - b2)
        m = state["m"] / (1 - b1 ** state["t"])
        h = state["h"] / (1 - b2 ** state["t"])
        x.mul_(1 - lr * group["weight_decay"])
        x.addcdiv_(m, h.sqrt().add_(1e-8), value=-lr)


def orthogonalized(matrix: Tensor, num_iterations: int) -> Tensor:
    """Nearly U V^T of the singular value decomposition of a matrix [..., n, m], by the quintic Newton-Schulz iteration.

    The singular values end between about 0.7 and 1.2, not at 1: that is what its coefficients trade for speed.
    """
    X = matrix.bfloat16() if matrix.is_cuda else matrix
    tall = X.shape[-2] > X.shape[-1]
    X = X.mT if tall else X
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(num_iterations):
        gram = X @ X.mT
        X = A * X + (B * gram + C * gram @ gram) @ X
    return (X.mT if tall else X).to(matrix.dtype)
