"""One update, and the scores, of T trials: what one trial does, mapped over the rows of a stack.

B images, C channels, H by W pixels, K classes, T trials. Images and labels are [T, B, ...], each trial's own, or
[B, ...] where all see the same. The memory layout is torch's usual one whatever `channels_last` says.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from runner.engine.evaluate import Evaluate, Views, predict
from runner.engine.settings import Settings
from runner.engine.state import TrainState
from runner.engine.step import Batch, Outcome, Step, compiled
from runner.engine.vectorized.layers import mapping
from runner.engine.vectorized.parameters import Rows
from runner.engine.vectorized.state import StackState
from runner.engine.vectorized.template import Template, same
from runner.errors import CannotStack

Numbers = dict[str, Tensor]  # each [T], or that of one trial


class Alike:
    """Objects of T trials, of one class, that differ in numbers: one of them stands for all, given its numbers.

    Raises:
        CannotStack: they differ in something else.
    """

    def __init__(self, key: str, members: Sequence[Any], device: torch.device) -> None:
        self.first = members[0]
        self.numbers: Numbers = {}
        if any(type(member) is not type(self.first) for member in members):
            raise CannotStack(f"{key}: {type(self.first).__name__} in one trial is another class in the next")
        for name, value in vars(self.first).items():
            values = [vars(member)[name] for member in members]
            if all(same(value, other) for other in values):
                continue
            if not all(type(other) in (int, float) for other in values):
                raise CannotStack(f"{key}: {name} of {type(self.first).__name__} differs and is no plain number")
            self.numbers[name] = torch.tensor(values, dtype=torch.float32, device=device)

    def with_numbers(self, numbers: Numbers) -> Any:
        if not numbers:
            return self.first
        made = copy.copy(self.first)
        vars(made).update(numbers)
        return made


class StackStep(Step):
    """`step(state, batch)`: forward, backward and one update of T trials, each as its own `Step` would make it.

    Outcomes are [T] over all trials, 0 for those that have left the stack.

    Raises:
        CannotStack: a loss or regulariser differs between the trials in more than numbers.
    """

    def __init__(self, steps: Sequence[Step], template: Template, state: StackState, settings: Settings) -> None:
        first = steps[0]
        super().__init__(
            template.network,
            first.criterion,
            settings,
            first.num_classes,
            first.penalties,
            first.mixes,
            first.softenings,
            first.constraints,
        )
        self.steps = steps
        self.template = template
        self.rows = state.rows
        self.losses = self._losses
        self.mapped: Any = compiled(self._mapped, settings.compile)
        self._take(state)

    def __call__(self, state: TrainState, batch: Batch) -> Outcome:
        if self.trials != state.present:
            self._take(state)
        outcome = super().__call__(state, batch)
        if len(self.trials) == len(state.trials):
            return outcome
        losses, (scores, labels) = outcome
        return self._among_all(state, losses), (
            self._among_all(state, scores),
            labels if labels.ndim == 1 else self._among_all(state, labels),
        )

    def _among_all(self, state: TrainState, part: Tensor) -> Tensor:
        """Values of the trials that are left at their places among all; zeros at the others'."""
        return part.new_zeros((len(state.trials), *part.shape[1:])).index_copy(0, self.index, part)

    @torch.no_grad()
    def try_out(self, state: StackState, batch: Batch) -> None:
        """Take the losses of two images and leave everything as it is, to see whether the network maps over trials.

        Raises:
            CannotStack: it does not.
        """
        images, labels = batch
        count = min(2, labels.shape[-1])
        images, targets = self._targets(images.narrow(-4, 0, count), labels.narrow(-1, 0, count), step=0)
        kept, self.rows.others = self.rows.others, {name: other.clone() for name, other in self.rows.others.items()}
        try:
            with state.precision.autocast():
                self._mapped(*self._given(images, targets))
        except (RuntimeError, NotImplementedError) as error:
            raise CannotStack(f"model: it does not map over trials ({str(error).splitlines()[0][:120]})") from error
        finally:
            self.rows.others = kept

    def _take(self, state: TrainState) -> None:
        """Go on with the trials that are left."""
        device = self.rows.matrix.device
        own = [self.steps[trial] for trial in state.present]
        self.trials = list(state.present)
        self.own = own
        self.ending = list(_ending(state, self.rows)) if self.clip_norm is not None else []
        self.index = torch.tensor(self.trials, device=device)
        self.criteria = _criteria(own, device)
        self.penalising, self.softening, self.mixing = (
            [Alike("reg", [_owner(hook) for hook in hooks], device) for hooks in zip(*chosen, strict=True)]
            for chosen in zip(*((step.penalties, step.softenings, step.mixes) for step in own), strict=True)
        )

    def _losses(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Losses [T], sums of the penalties [T], scores [T, B, K]."""
        losses, penalties, scores = self.mapped(*self._given(images, targets))
        return losses, penalties, scores

    def _given(self, images: Tensor, targets: Tensor) -> tuple[Any, ...]:
        """What the mapped losses are a function of, for the next forward pass."""
        numbers = {
            "noise": self.template.drawing(self.index, self.next_pass),
            "loss": self.criteria.numbers,
            "penalties": [alike.numbers for alike in self.penalising],
            "softenings": [alike.numbers for alike in self.softening],
        }
        self.next_pass += 1
        return self.rows.views, self.rows.others, numbers, images, targets

    def _mapped(
        self, parameters: Numbers, others: Numbers, numbers: Any, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        each_its_own = images.ndim == 5, targets.ndim == (3 if targets.is_floating_point() else 2)
        dims = [0 if own else None for own in each_its_own]
        out_dims = (0, 0 if self.penalising else None, 0)
        mapped = torch.vmap(self._losses_of_one, (0, 0, 0, *dims), out_dims)  # type: ignore[arg-type]  # None is allowed
        found: tuple[Tensor, Tensor | None, Tensor] = mapped(parameters, others, numbers, images, targets)
        return found

    def _losses_of_one(
        self, parameters: Numbers, others: Numbers, numbers: Any, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        def network(images: Tensor) -> Any:
            return functional_call(self.network, {**parameters, **others, **numbers["noise"]}, (images,))

        for alike, own in zip(self.softening, numbers["softenings"], strict=True):
            targets = alike.with_numbers(own).soften(targets)
        penalties = [
            alike.with_numbers(own).penalty for alike, own in zip(self.penalising, numbers["penalties"], strict=True)
        ]
        criterion = self.criteria.with_numbers(numbers["loss"])
        return self._losses_of(network, parameters, criterion, penalties, images, targets)

    def _targets(self, images: Tensor, labels: Tensor, step: int) -> Batch:
        """Labels as they are, or class probabilities, mixed; softening is part of each trial's loss."""
        self.next_pass = step * self.accumulate_steps
        if not (self.mixes or self.softenings):
            return images, labels
        targets = F.one_hot(labels, self.num_classes).to(images.dtype)
        if not self.mixes:
            return images, targets
        shared = labels.ndim == 1  # so they have one seed
        if shared and not any(alike.numbers for alike in self.mixing):
            return self.own[0].mixed(images, targets, step)
        mixed = [
            own.mixed(images if shared else images[row], targets if shared else targets[row], step)
            for row, own in enumerate(self.own)
        ]
        images, targets = (torch.stack(parts) for parts in zip(*mixed, strict=True))
        return images, targets

    def _backward(self, total: Tensor) -> None:
        self.rows.add_gradients(torch.autograd.grad(total.sum(), list(self.rows.views.values()), allow_unused=True))

    def _clip(self, norm: float) -> None:
        """Each trial's gradient by its own norm, to which parameters that have ended add nothing."""
        gradients = self.rows.gradients
        for row, columns, parameter in self.ending:
            if not parameter.requires_grad:
                gradients[row, columns] = 0
        gradients.mul_((norm / (gradients.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1))

    def _constrain(self) -> None:
        for own, network in zip(self.own, self.rows.networks, strict=True):
            for constrain in own.constraints:
                constrain(network)


def _ending(state: TrainState, rows: Rows) -> Iterator[tuple[int, slice, Tensor]]:
    """Parameters whose group ends before the run, each with its place in the matrix of gradients."""
    for row, trial in enumerate(state.present):
        member = state.of(trial)
        names = {parameter: name for name, parameter in member.network.named_parameters()}
        for group in member.optimizer.param_groups:
            if group.get("until_epochs") is not None:
                for parameter in group["params"]:
                    yield row, rows.columns[names[parameter]], parameter


def _criteria(steps: Sequence[Step], device: torch.device) -> Alike:
    return Alike("loss", [mapping(step.criterion) or step.criterion for step in steps], device)


def _owner(hook: Callable[..., Any]) -> Any:
    """The regulariser whose method this is."""
    return hook.__self__  # type: ignore[attr-defined]


@dataclass
class StackEvaluate(Evaluate):
    """`evaluate(state)`: loss and accuracy of each trial's scored network; nothing for those that have left."""

    template: Template
    steps: Sequence[Step]

    def __call__(self, state: TrainState) -> list[dict[str, float]]:
        assert isinstance(state, StackState)
        index = torch.tensor(state.present, device=state.device)
        rows, network = state.scored_rows, self.template.network
        tensors = {**rows.views, **rows.others}
        criteria = _criteria([self.steps[trial] for trial in state.present], state.device)
        viewed = _Viewed(network, self.views)

        def scores_of_one(tensors: Mapping[str, Tensor], images: Tensor) -> Tensor:
            given = {f"network.{name}": tensor for name, tensor in tensors.items()}
            scores: Tensor = functional_call(viewed, given, (images,))
            return scores

        def views(network: nn.Module, images: Tensor) -> Tensor:
            given = {**tensors, **self.template.drawing(index, 0)}
            scores: Tensor = torch.vmap(scores_of_one, (0, None))(given, images)
            return scores

        def criterion(scores: Tensor, labels: Tensor) -> Tensor:
            def of_one(numbers: Numbers, scores: Tensor) -> Tensor:
                loss: Tensor = criteria.with_numbers(numbers)(scores, labels)
                return loss

            losses: Tensor = torch.vmap(of_one)(criteria.numbers, scores)
            return losses

        scores, labels, losses = predict(network, self.batches, criterion, self.precision, views)
        accuracies = (scores.argmax(-1) == labels).double().mean(-1)
        records: list[dict[str, float]] = [{} for _ in state.trials]
        for trial, loss, accuracy in zip(state.present, losses.tolist(), accuracies.tolist(), strict=True):
            records[trial] = {"val/loss": loss, "val/accuracy": accuracy}
        return records


class _Viewed(nn.Module):
    """Images to the scores of a network over its views."""

    def __init__(self, network: nn.Module, views: Views) -> None:
        super().__init__()
        self.network = network
        self.views = views

    def forward(self, images: Tensor) -> Tensor:
        return self.views(self.network, images)
