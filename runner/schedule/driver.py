"""Sets the optimizer's learning rates from a curve, once an update."""

from typing import Any

from torch.optim import Optimizer

from runner.schedule.curves import Curve


class Schedule:
    """`step()` after every update moves the optimizer to the next point of the curve, as torch's schedulers do.

    The base rate of each parameter group is the `lr` it was made with. A group with `freeze_after_epochs` ends after
    that duration (0: before the first update): its parameters keep their values, and no gradients are taken for them.
    One with `start_after_epochs` has none before that.
    """

    def __init__(self, optimizer: Optimizer, curve: Curve) -> None:
        self.optimizer = optimizer
        self.curve = curve
        self.num_steps = 0
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.ends = [
            None if group.get("freeze_after_epochs") is None else curve.steps(group["freeze_after_epochs"])
            for group in optimizer.param_groups
        ]
        self.starts = [curve.steps(group.get("start_after_epochs") or 0) for group in optimizer.param_groups]
        self.used_lrs: list[float] = []  # rates of the latest update
        self._apply()

    def step(self) -> None:
        self.used_lrs = self.get_last_lr()
        self.num_steps += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rate that the next update will use, for each parameter group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def observe(self, metric: float, epoch: int | None = None) -> None:
        """Take note of the objective after so many epochs (None: one more), and react to it where the curve does."""
        self.curve.observe(metric, epoch)
        self._apply()

    def redraw(self, total_steps: int) -> None:
        """Draw the curve over so many updates from now on; the update to come has its rate by the new one."""
        self.curve.total_steps = total_steps
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        return {"num_steps": self.num_steps, "used_lrs": self.used_lrs, "curve": self.curve.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_steps, self.used_lrs = state["num_steps"], list(state["used_lrs"])
        self.curve.load_state_dict(state["curve"])
        self._apply()

    def _apply(self) -> None:
        factor = self.curve(self.num_steps)
        groups = zip(self.optimizer.param_groups, self.base_lrs, self.starts, self.ends, strict=True)
        for group, base_lr, start, end in groups:
            rests = self.num_steps < start or (end is not None and self.num_steps >= end)
            group["lr"] = 0.0 if rests else base_lr * factor
            if start or end is not None:
                for parameter in group["params"]:
                    parameter.requires_grad_(not rests)
