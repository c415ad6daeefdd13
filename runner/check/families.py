"""The families of checks by name: what each looks at, and its module. Imports no torch."""

from collections.abc import Sequence
from typing import NamedTuple

from runner.errors import UserError, did_you_mean


class Family(NamedTuple):
    """A family: what it looks at, and the module whose `check` looks."""

    summary: str
    module: str


FAMILIES = {
    "data": Family("classes, duplicates across splits, odd images, pixel statistics", "runner.check.data"),
    "loss": Family("the loss at the start against the formula, and what penalties add", "runner.check.loss"),
    "overfit": Family("whether 20 images can be learned by heart", "runner.check.overfit"),
    "layers": Family(
        "activations and gradients by layer: dead, saturated, vanishing, exploding", "runner.check.layers"
    ),
    "gradients": Family("analytic against numerical gradients; unused and frozen parameters", "runner.check.gradients"),
    "updates": Family("update-to-weight ratios; training and evaluation mode agree", "runner.check.updates"),
    "lr": Family("the learning-rate range, and a rate to begin with", "runner.check.lr"),
    "cost": Family("parameters, multiply-adds, memory, images a second, the bottleneck", "runner.check.cost"),
    "reproducibility": Family("two short runs of one seed agree bit for bit", "runner.check.reproducibility"),
}


def chosen(only: Sequence[str] | None, skip: Sequence[str]) -> list[str]:
    """The families that are to be looked at, in their order.

    Raises:
        UserError: a name is none of them.
    """
    for flag, names in (("--only", only or ()), ("--skip", skip)):
        for name in names:
            if name not in FAMILIES:
                raise UserError(f"{flag}: {name}: no such check{did_you_mean(name, FAMILIES)}")
    found = [name for name in FAMILIES if (only is None or name in only) and name not in skip]
    if not found:
        raise UserError("--only, --skip: no check is left; runner check --list names them")
    return found
