"""torch's optimizers with less around an update. On a small network, what torch wraps around its kernels takes longer
than they do, and the first update imports torch's compiler, which takes longer than many a run.

State, settings and update are torch's own. What is left out: hooks before and after a step, the profiler's label, and
the detours of optimizers that compile.
"""

import inspect
from typing import Any

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from runner.optimizer.torch_kernels import KERNELS, foreach, works


class FastStep(Optimizer):
    """Makes the update of torch's class, the second base: by its code, or by a call of its fused kernel."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        of_torch: Any = torch_class(self)
        calls = None if closure or of_torch not in KERNELS or not works(KERNELS[of_torch]) else self._calls()
        if calls is None:
            return inspect.unwrap(of_torch.step)(self, closure)
        for params, grads, states, group in calls:
            counts = [state["step"] for state in states if "step" in state]
            if counts:
                foreach("add_", counts, 1)
            KERNELS[of_torch](params, grads, states, group)
        return None

    step.hooked = True  # type: ignore[attr-defined]  # torch wraps what is not

    def zero_grad(self, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _calls(self) -> list[Any] | None:
        """The arguments of the kernel's calls, one a group; None where torch's own code knows better what to do: before
        there is a state, and where fp16 gradients have to be scaled back."""
        if hasattr(self, "found_inf"):
            return None
        calls = []
        for group in self.param_groups:
            params = [parameter for parameter in group["params"] if parameter.grad is not None]
            states = [self.state.get(parameter, {}) for parameter in params]
            if not group["fused"] or group.get("amsgrad") or (group.get("momentum") != 0 and not all(states)):
                return None
            if params:
                calls.append((params, [parameter.grad for parameter in params], states, group))
        return calls


def torch_class(optimizer: Optimizer) -> type[Optimizer]:
    """The class of torch's whose update an optimizer makes; its own class for any other."""
    return type(optimizer).__bases__[1] if isinstance(optimizer, FastStep) else type(optimizer)


class FastSGD(FastStep, SGD):
    pass


class FastAdam(FastStep, Adam):
    pass


class FastAdamW(FastStep, AdamW):
    pass


class FastAdagrad(FastStep, Adagrad):
    pass


class FastRMSprop(FastStep, RMSprop):
    pass
