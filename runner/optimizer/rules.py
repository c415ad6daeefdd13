"""Update rules of T trials at once: the formulas of the optimizers here and in torch.optim, broadcast over trials.

A rule changes parameters x [T, ...] in place, given their gradients, its own state and the hyperparameters, each a
tensor [T] in double precision on the CPU. So one call updates T trials that differ in numbers. The state has torch's
names, so that a row of it is the state of that trial's own optimizer. Notation as in `factories`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from runner.decay import is_decayed
from runner.errors import CannotVectorize
from runner.optimizer import fast_step, torch_kernels
from runner.optimizer.own import Lamb, Lion, Muon, NAdam, UncorrectedAdam, orthogonalized, trust

State = dict[str, Tensor]
Hyper = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rule:
    """How one optimizer moves parameters.

    Args:
        update: `update(x, g, state, hyper, t)` moves x [T, ...] for the t-th time, counted from 1.
        names: of its state, each shaped as x and 0 at first.
        kernel: the same update of one trial by one call, which on a CPU is faster trial by trial.
        count: the entry of the optimizer's own state that counts updates: `step` is a tensor, `t` a number.
        elementwise: whether parameters may be updated together as one row [T, n].
        numbers: further entries of the optimizer's own state that follow from its group and the count of updates.
    """

    update: Callable[[Tensor, Tensor, State, Hyper, int], None]
    names: tuple[str, ...] = ()
    kernel: torch_kernels.Kernel | None = None
    count: Literal["step", "t"] | None = None
    elementwise: bool = True
    numbers: Callable[[Mapping[str, Any], int], dict[str, float]] | None = None

    def init(self, x: Tensor) -> State:
        return {name: torch.zeros_like(x) for name in self.names}


def rule_for(optimizer: Optimizer, group: Mapping[str, Any], parameter: Tensor) -> Rule:
    """The rule by which an optimizer of one trial updates that parameter of that group.

    Raises:
        CannotVectorize: it has none, or an option that its rule lacks is on.
    """
    kind = fast_step.torch_class(optimizer)
    if kind not in RULES and kind not in (Muon, Lamb):
        raise CannotVectorize(f"optimizer: {kind.__name__} cannot be vectorized")
    lacking = next((name for name in LACKING if group.get(name)), None)
    if lacking or (kind is RMSprop and group["momentum"]):
        raise CannotVectorize(f"optimizer.{lacking or 'momentum'}: {kind.__name__} with it cannot be vectorized")
    if kind is Adam and group.get("decoupled_weight_decay"):
        return RULES[AdamW]
    if kind is Lamb:
        return LAMB if is_decayed(parameter) else LAMB_OTHER
    if isinstance(optimizer, Muon):
        if parameter.ndim > 1 and group.get("orthogonalize", True):
            return _muon_matrix(optimizer.nesterov, optimizer.num_iterations, optimizer.normalize_weights)
        return NESTEROV if optimizer.others == "nesterov" else MUON_OTHER
    if kind is SGD and (group["momentum"] or optimizer.state):
        return NESTEROV if group["nesterov"] else MOMENTUM
    return RULES[kind]


def hyper_parameters(optimizer: Optimizer, group: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a parameter group by name; betas as b1 and b2."""
    numbers = {name: float(value) for name, value in group.items() if type(value) in (int, float)}
    if isinstance(optimizer, Muon):
        numbers["adamw_lr_scale"] = optimizer.adamw_lr_scale
    if "betas" in group:
        numbers["b1"], numbers["b2"] = group["betas"]
    return numbers


def sgd(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    (lr,) = across(x, hyper["lr"])
    x.addcmul_(_decayed(x, g, hyper), lr, value=-1)


def momentum(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int, nesterov: bool = False) -> None:
    lr, rho = across(x, hyper["lr"], hyper["momentum"])
    g = _decayed(x, g, hyper)
    v = state["momentum_buffer"].mul_(rho).add_(g)
    x.addcmul_(torch.addcmul(g, v, rho) if nesterov else v, lr, value=-1)


def adagrad(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    lr, eps = across(x, hyper["lr"], hyper["eps"])
    g = _decayed(x, g, hyper)
    state["sum"].addcmul_(g, g)
    x.addcmul_(g.div(state["sum"].sqrt().add_(eps)), lr, value=-1)


def rmsprop(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    lr, eps, rest = across(x, hyper["lr"], hyper["eps"], 1 - hyper["alpha"])
    g = _decayed(x, g, hyper)
    h = state["square_avg"].lerp_(g.square(), rest)
    x.addcmul_(g.div(h.sqrt().add_(eps)), lr, value=-1)


def adam(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    _adam(x, _decayed(x, g, hyper), state["exp_avg"], state["exp_avg_sq"], hyper, t)


def adamw(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    _shrink(x, hyper["lr"] * hyper["weight_decay"])
    _adam(x, g, state["exp_avg"], state["exp_avg_sq"], hyper, t)


def uncorrected_adam(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    _adam(x, _decayed(x, g, hyper), state["m"], state["h"], hyper, t=None)


def _adam(x: Tensor, g: Tensor, m: Tensor, h: Tensor, hyper: Hyper, t: int | None) -> None:
    """One update of Adam; t None leaves the means as they are.

    `(m/c1) / (sqrt(h/c2) + eps)` is `m / (sqrt(h) + eps*sqrt(c2)) * sqrt(c2)/c1`, c the corrections `1 - b^t`.
    """
    b1, b2 = hyper["b1"], hyper["b2"]
    c1, c2 = (torch.ones_like(b) if t is None else 1 - b**t for b in (b1, b2))
    eps, scale = hyper["eps"] * c2.sqrt(), hyper["lr"] * c2.sqrt() / c1
    rest1, rest2, eps, scale = across(x, 1 - b1, 1 - b2, eps, scale)
    m.lerp_(g, rest1)
    square = g.square()
    h.lerp_(square, rest2)
    root = torch.sqrt(h, out=square).add_(eps)
    x.addcmul_(torch.div(m, root, out=root), scale, value=-1)


@cache
def _muon_matrix(nesterov: bool, num_iterations: int, normalize_weights: bool) -> Rule:
    def update(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
        rest, rho = across(x, 1 - hyper["momentum"], hyper["momentum"])
        v = state["v"].lerp_(g, rest)
        matrix = (g.lerp(v, rho) if nesterov else v).flatten(2)
        (lr,) = across(x, hyper["lr"] * max(1.0, matrix.shape[1] / matrix.shape[2]) ** 0.5)
        if normalize_weights:
            dims = tuple(range(1, x.ndim))
            x.mul_(x.shape[1] ** 0.5 / torch.linalg.vector_norm(x, dim=dims, keepdim=True))
        _shrink(x, hyper["lr"] * hyper["weight_decay"])
        x.addcmul_(orthogonalized(matrix, num_iterations).reshape(x.shape), lr, value=-1)

    return Rule(update, ("v",), elementwise=False)


def muon_other(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    lr = hyper["lr"] * hyper["adamw_lr_scale"]
    fixed = {"b1": torch.full_like(lr, 0.9), "b2": torch.full_like(lr, 0.95), "eps": torch.full_like(lr, 1e-8)}
    _shrink(x, lr * hyper["weight_decay"])
    _adam(x, g, state["m"], state["h"], {"lr": lr, **fixed}, t)


def nadam(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    g = _decayed(x, g, hyper)
    b1, b2, decay = hyper["b1"], hyper["b2"], hyper["momentum_decay"]
    mu = _nadam_mu(b1, decay, t)
    now, later = mu[:, :t].prod(1), mu.prod(1)
    of_g, of_m = hyper["lr"] * (1 - mu[:, t - 1]) / (1 - now), hyper["lr"] * mu[:, t] / (1 - later)
    rest1, rest2, eps, scale, of_g, of_m = across(x, 1 - b1, 1 - b2, hyper["eps"], 1 / (1 - b2**t), of_g, of_m)
    m = state["m"].lerp_(g, rest1)
    h = state["h"].lerp_(g.square(), rest2)
    root = (h * scale).sqrt_().add_(eps)
    x.addcdiv_(g * of_g, root, value=-1).addcdiv_(m * of_m, root, value=-1)


def _nadam_mu(b1_T: Tensor, decay_T: Tensor, t: int) -> Tensor:
    """NAdam's mu of the updates 1 to t + 1 [T, t + 1]."""
    times = torch.arange(1, t + 2, dtype=torch.float64)
    return b1_T[:, None] * (1 - 0.5 * 0.96 ** (times * decay_T[:, None]))


def _nadam_numbers(group: Mapping[str, Any], t: int) -> dict[str, float]:
    b1, decay = (torch.tensor([value], dtype=torch.float64) for value in (group["betas"][0], group["momentum_decay"]))
    return {"mu": _nadam_mu(b1, decay, t)[0, :t].prod().item()}


def lion(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int) -> None:
    lr, rest1, rest2 = across(x, hyper["lr"], 1 - hyper["b1"], 1 - hyper["b2"])
    _shrink(x, hyper["lr"] * hyper["weight_decay"])
    x.addcmul_(state["m"].lerp(g, rest1).sign_(), lr, value=-1)
    state["m"].lerp_(g, rest2)


def lamb(x: Tensor, g: Tensor, state: State, hyper: Hyper, t: int, adapts: bool = True) -> None:
    b1, b2 = hyper["b1"], hyper["b2"]
    numbers = (1 - b1, 1 - b2, 1 / (1 - b1**t), 1 / (1 - b2**t), hyper["eps"], hyper["weight_decay"], hyper["lr"])
    rest1, rest2, scale1, scale2, eps, decay, lr = across(x, *numbers)
    m, h = state["m"].lerp_(g, rest1), state["h"].lerp_(g.square(), rest2)
    u = (m * scale1) / (h * scale2).sqrt_().add_(eps) + decay * x
    if adapts:
        dims = tuple(range(1, x.ndim))
        u.mul_(trust(*(torch.linalg.vector_norm(part, dim=dims, keepdim=True) for part in (x, u))))
    x.addcmul_(u, lr, value=-1)


# Options of torch's optimizers that no configuration of ours sets; the rules are without them.
LACKING = ("dampening", "maximize", "amsgrad", "centered", "lr_decay", "initial_accumulator_value")

MOMENTUM = Rule(momentum, ("momentum_buffer",), torch_kernels.KERNELS[SGD])
NESTEROV = replace(MOMENTUM, update=partial(momentum, nesterov=True))
MUON_OTHER = Rule(muon_other, ("m", "h"), count="t")
LAMB = Rule(lamb, ("m", "h"), count="t", elementwise=False)
LAMB_OTHER = Rule(partial(lamb, adapts=False), ("m", "h"), count="t")
RULES: dict[type[Optimizer], Rule] = {
    SGD: Rule(sgd, kernel=torch_kernels.KERNELS[SGD]),
    Adagrad: Rule(adagrad, ("sum",), count="step"),
    RMSprop: Rule(rmsprop, ("square_avg",), count="step"),
    Adam: Rule(adam, ("exp_avg", "exp_avg_sq"), torch_kernels.KERNELS[Adam], count="step"),
    AdamW: Rule(adamw, ("exp_avg", "exp_avg_sq"), torch_kernels.KERNELS[AdamW], count="step"),
    UncorrectedAdam: Rule(uncorrected_adam, ("m", "h")),
    NAdam: Rule(nadam, ("m", "h"), count="t", numbers=_nadam_numbers),
    Lion: Rule(lion, ("m",)),
}


def across(x: Tensor, *numbers_T: Tensor) -> list[Tensor]:
    """Numbers [T] as [T, 1, ...] on the device of x [T, ...], in one transfer."""
    moved = torch.stack(numbers_T).to(x.device, x.dtype, non_blocking=True)
    return list(moved.view(len(numbers_T), -1, *[1] * (x.ndim - 1)).unbind())


def _decayed(x: Tensor, g: Tensor, hyper: Hyper) -> Tensor:
    """The gradient with the weight decay's."""
    if not hyper["weight_decay"].any():
        return g
    (decay,) = across(x, hyper["weight_decay"])
    return torch.addcmul(g, x, decay)


def _shrink(x: Tensor, share: Tensor) -> None:
    if share.any():
        x.mul_(*across(x, 1 - share))
