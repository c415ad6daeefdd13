"""Whether the network can learn 20 images by heart, which any network that works can."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from runner import build
from runner.check.subject import Subject, loss_of, outputs
from runner.check.verdict import Check, listed
from runner.loss import BinaryCrossEntropy, CrossEntropy, Distillation, Focal, Hinge
from runner.model.summary import parameter_names

NUM_IMAGES = 20
MAX_UPDATES = 200
SMALL_LOSS = 0.05
KNOWN = (BinaryCrossEntropy, CrossEntropy, Distillation, Focal, Hinge)
OTHER_SHARE = 0.05  # of the loss at the start: what is small for a loss of somebody's own
OTHER_RATE = 1e-3  # of Adam, tried where the chosen optimizer does not get there
OFF: dict[str, Any] = {"weight_decay": 0.0, "sam": 0.0}


@dataclass
class Outcome:
    """How far a network came.

    Args:
        losses: one for each update, then that at the end.
        without_gradient: parameters whose gradient was zero or absent at every update.
    """

    losses: list[float]
    accuracy: float
    without_gradient: list[str] = field(default_factory=list)

    def is_done(self, small: float) -> bool:
        return self.losses[-1] < small and self.accuracy == 1.0


def check(subject: Subject) -> Iterator[Check]:
    """Train on a few images without regularization and augmentation, by the chosen optimizer at its base rate."""
    images, labels = subject.plain_batch(NUM_IMAGES)
    first = fit_few(subject.bare_network(), subject.criterion, images, labels, lambda net: _optimizer(subject, net))
    small = SMALL_LOSS if isinstance(subject.criterion, KNOWN) else OTHER_SHARE * abs(first.losses[0])
    other = None
    if not first.is_done(small):
        other = fit_few(
            subject.bare_network(), subject.criterion, images, labels, lambda n: Adam(n.parameters(), OTHER_RATE)
        )
    yield verdict_on(first, other, small, len(images))


def _optimizer(subject: Subject, network: nn.Module) -> Optimizer:
    cfg = subject.cfg.copy()
    for key, value in OFF.items():
        if key in cfg.optimizer:
            OmegaConf.update(cfg, f"optimizer.{key}", value)
    return build.optimizer(cfg, network)


def fit_few(
    network: nn.Module,
    criterion: Callable[..., Tensor],
    images: Tensor,
    labels: Tensor,
    make: Callable[[nn.Module], Optimizer],
    max_updates: int = MAX_UPDATES,
) -> Outcome:
    """Train on the same images, until their loss is far below what is asked for or the updates are used up."""
    network.train()
    optimizer = make(network)
    silent = {name: True for name, parameter in network.named_parameters() if parameter.requires_grad}
    losses: list[float] = []
    accuracy = 0.0

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(network, criterion, images, labels)
        loss.backward()
        return loss

    for number in range(max_updates):
        with torch.no_grad():
            before = outputs(network, images)[0] if number % 10 == 0 else None
        if isinstance(optimizer, torch.optim.LBFGS):
            loss = optimizer.step(closure)
        else:
            loss = closure()
            optimizer.step()
        losses.append(loss.item())
        for name, parameter in network.named_parameters():
            if silent.get(name) and parameter.grad is not None and parameter.grad.any():
                silent[name] = False
        if before is not None:
            accuracy = (before.argmax(1) == labels).double().mean().item()
        if not torch.isfinite(loss) or (losses[-1] < SMALL_LOSS / 5 and accuracy == 1.0):
            break
    with torch.no_grad():
        final = loss_of(network, criterion, images, labels)
        accuracy = (outputs(network, images)[0].argmax(1) == labels).double().mean().item()
    shown = parameter_names(network)
    return Outcome([*losses, final.item()], accuracy, [shown[name] for name, zero in silent.items() if zero])


def verdict_on(first: Outcome, other: Outcome | None, small: float, num_images: int) -> Check:
    """Of the chosen optimizer and, where that failed, of Adam."""
    updates = len(first.losses) - 1
    measured = f"loss {first.losses[-1]:.3g}, accuracy {first.accuracy:.2f} after {updates} updates"
    expected = f"loss under {small:.3g} and accuracy 1 on {num_images} images in {MAX_UPDATES} updates"
    values: dict[str, Any] = {"loss": first.losses[-1], "accuracy": first.accuracy, "updates": updates}
    if first.is_done(small):
        return Check("overfit.few", "ok", measured, expected, "", values)
    silent = first.without_gradient
    if silent:
        values["without_gradient"] = silent
        advice = f"no gradient reaches {listed(silent)}: look at the layers after it, and at init"
        return Check("overfit.few", "wrong", measured, expected, advice, values)
    if other is not None and other.is_done(small):
        learns = first.losses[-1] < 0.5 * first.losses[0]
        advice = f"the network can: Adam at {OTHER_RATE:g} does it in {len(other.losses) - 1} updates; " + (
            "more updates or another optimizer.lr may do" if learns else "change optimizer.lr (runner check --only lr)"
        )
        return Check("overfit.few", "warning" if learns else "wrong", measured, expected, advice, values)
    advice = "no optimizer.lr is to blame, as Adam fails too: look at the network, its loss and the labels"
    return Check("overfit.few", "wrong", measured, expected, advice, values)
