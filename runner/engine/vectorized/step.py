"""One update, and the scores, of T trials: what one trial does, mapped over the stacked rows.

B images, C channels, H by W pixels, K classes, T trials. Images and labels are [T, B, ...], each trial's own, or
[B, ...] where all see the same. The memory layout is torch's usual one whatever `channels_last` says.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from runner.engine.settings import Settings
from runner.engine.state import TrainState
from runner.engine.step import Batch, Step, StepResult, compiled
from runner.engine.vectorized.parameters import StackedParameters
from runner.engine.vectorized.state import VectorizedState
from runner.engine.vectorized.template import BatchedObject, Numbers, Template, batched_criteria
from runner.errors import CannotVectorize
from runner.optimizer import sam


class VectorizedStep(Step):
    """`step(state, batch)`: forward, backward and one update of T trials, each as its own `Step` would make it.

    Results are [T] over all trials, 0 for those that have ended.

    Raises:
        CannotVectorize: a loss or regularizer differs between the trials in more than numbers.
    """

    def __init__(self, steps: Sequence[Step], template: Template, state: VectorizedState, settings: Settings) -> None:
        first = steps[0]
        super().__init__(
            template.network,
            first.criterion,
            settings,
            first.num_classes,
            first.penalties,
            first.mixes,
            first.target_transforms,
            first.weight_projections,
            first.freezing_norms,
            teacher=first.teacher,
        )
        if any(step.freezing_norms != first.freezing_norms for step in steps):
            raise CannotVectorize(
                "optimizer.param_groups: normalization layers freeze at different times in different trials"
            )
        self.shrinks = False  # fewer trials train together before a batch is cut
        self.graphed = False  # several trials launch as few operations as one
        self.steps = steps
        self.template = template
        self.rows = state.rows
        self.num_passes = 2 if any(self._radii(state)) else 1
        self.batch_ndim = 4  # dimensions of a batch's images, or of the features in their place
        self.losses = self._losses
        self.mapped: Any = compiled(self._mapped, settings.compile, [state.rows.matrix])
        self._take(state)

    def __call__(self, state: TrainState, batch: Batch) -> StepResult:
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
    def try_out(self, state: VectorizedState, batch: Batch) -> None:
        """Take the losses of two images and leave everything as it is, to see whether the network maps over trials.

        Raises:
            CannotVectorize: it does not.
        """
        images, labels, *known = batch
        count = min(2, labels.shape[-1])
        self.batch_ndim = images.ndim - (labels.ndim - 1)
        images, targets = self._targets(images.narrow(labels.ndim - 1, 0, count), labels.narrow(-1, 0, count), step=0)
        targets = self._taught(images, targets, [scores.narrow(-2, 0, count) for scores in known])
        kept, self.rows.others = self.rows.others, {name: other.clone() for name, other in self.rows.others.items()}
        try:
            with state.precision.autocast():
                self._mapped(*self._given(images, targets))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            raise CannotVectorize(f"model: it does not map over trials ({str(error).splitlines()[0][:120]})") from error
        finally:
            self.rows.others = kept

    def _take(self, state: TrainState) -> None:
        """Go on with the trials that are left."""
        device = self.rows.matrix.device
        self.trials = list(state.present)
        if self.graphs:
            _keep_places([*self.rows.views.values(), *self.rows.others.values()])
        self.own = own = [self.steps[trial] for trial in self.trials]
        layers = [layer for layer, _ in self.freezing]  # of the template, which take after the first trial left
        self.freezing = [(layer, own[0].freezing[number][1]) for number, layer in enumerate(layers)]
        needs_norms = self.clip_grad_norm is not None or any(self._radii(state))
        self.ending = list(_ending(state, self.rows)) if needs_norms else []
        self.index = torch.tensor(self.trials, device=device)
        self.criteria = batched_criteria(own, device)
        self.penalizing, self.transforming, self.mixing, self.projecting = (
            [BatchedObject("reg", [_owner(hook) for hook in hooks], device) for hooks in zip(*chosen, strict=True)]
            for chosen in zip(*(_hooks(step) for step in own), strict=True)
        )

    def _losses(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Losses [T], sums of the penalties [T], scores [T, B, K]."""
        return self.mapped(*self._given(images, targets))

    def _given(self, images: Tensor, targets: Tensor) -> tuple[Any, ...]:
        """What the mapped losses are a function of, for the next forward pass."""
        numbers = {
            "noise": self.template.drawing(self.index, self.next_pass),
            "loss": self.criteria.numbers,
            "penalties": [alike.numbers for alike in self.penalizing],
            "target_transforms": [alike.numbers for alike in self.transforming],
        }
        self.next_pass += 1
        return self.rows.views, self.rows.others, numbers, images, targets

    def _mapped(
        self, parameters: Numbers, others: Numbers, numbers: Any, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        each_its_own = images.ndim > self.batch_ndim, targets.ndim == (3 if targets.is_floating_point() else 2)
        dims = [0 if own else None for own in each_its_own]
        out_dims = (0, 0 if self.penalizing else None, 0)
        mapped = torch.vmap(self._losses_of_one, (0, 0, 0, *dims), out_dims)  # type: ignore[arg-type]  # None is allowed
        return mapped(parameters, others, numbers, images, targets)

    def _losses_of_one(
        self, parameters: Numbers, others: Numbers, numbers: Any, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        def network(images: Tensor) -> Any:
            return functional_call(self.network, {**parameters, **others, **numbers["noise"]}, (images,))

        of_teacher = []
        if self.teacher is not None:
            targets, *of_teacher = targets.split(self.num_classes, dim=-1)
        for alike, own in zip(self.transforming, numbers["target_transforms"], strict=True):
            targets = alike.with_numbers(own).transform_targets(targets)
        targets = torch.cat([targets, *of_teacher], dim=-1) if of_teacher else targets
        penalties = [
            alike.with_numbers(own).penalty for alike, own in zip(self.penalizing, numbers["penalties"], strict=True)
        ]
        criterion = self.criteria.with_numbers(numbers["loss"])
        return self._losses_of(network, parameters, criterion, penalties, images, targets)

    def _targets(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Labels as they are, or class probabilities, mixed; the transforms are part of each trial's loss."""
        self.next_pass = step * self.accumulate_steps * self.num_passes
        if not (self.mixes or self.target_transforms):
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
        images, targets = map(torch.stack, zip(*mixed, strict=True))
        return images, targets

    def _backward(self, total: Tensor) -> None:
        self.rows.add_gradients(torch.autograd.grad(total.sum(), list(self.rows.views.values()), allow_unused=True))

    def _clip(self, norm: float) -> None:
        """Each trial's gradient by its own norm, to which parameters that have ended add nothing."""
        gradients = self._live_gradients()
        gradients.mul_((norm / (gradients.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1))

    def _live_gradients(self) -> Tensor:
        """The gradients [T, N], 0 where parameters have ended."""
        for row, columns, parameter in self.ending:
            if not parameter.requires_grad:
                self.rows.gradients[row, columns] = 0
        return self.rows.gradients

    def _radii(self, state: TrainState) -> list[float]:
        return [sam.radius(state.of(trial).optimizer) for trial in state.present]

    @contextmanager
    def _uphill(self, state: TrainState) -> Iterator[None]:
        """Each trial by its own radius and norm; one whose radius is 0 stays."""
        matrix, gradients = self.rows.matrix, self._live_gradients()
        radii_T1 = torch.tensor(self._radii(state), dtype=matrix.dtype).to(matrix.device, non_blocking=True)[:, None]
        others = [(other, other.clone()) for other in self.rows.others.values()]
        with torch.no_grad():
            weights = matrix.clone()
            matrix.addcmul_(gradients, radii_T1 / (gradients.norm(dim=1, keepdim=True) + sam.TINY))
        yield
        with torch.no_grad():
            matrix.copy_(weights)
            for other, kept in others:
                other.copy_(kept)

    def _project_weights(self) -> None:
        for number, alike in enumerate(self.projecting):
            if not hasattr(alike.first, "project_stacked"):
                for own in self.own:
                    own.weight_projections[number](own.network)
                continue
            project = alike.with_numbers(alike.numbers).project_stacked
            for name, parameter in self.own[0].parameters.items():
                if parameter.ndim > 1 and parameter.requires_grad:
                    project(self.rows.shaped(self.rows.matrix, name))


def _ending(state: TrainState, rows: StackedParameters) -> Iterator[tuple[int, slice, Tensor]]:
    """Parameters whose group ends before the run, each with its place in the matrix of gradients."""
    for row, trial in enumerate(state.present):
        member = state.of(trial)
        names = {parameter: name for name, parameter in member.network.named_parameters()}
        for group in member.optimizer.param_groups:
            if group.get("freeze_after_epochs") is not None:
                for parameter in group["params"]:
                    yield row, rows.columns[names[parameter]], parameter


def _keep_places(tensors: Sequence[Tensor]) -> None:
    """Tell the compiler that these stay where they are: it makes no CUDA graph of a pass that alters others.

    Running statistics are altered, and as arguments of a function they count as others. A module's own do not.
    """
    mark = getattr(torch._dynamo, "mark_static_address", None)
    if mark is not None:
        for tensor in tensors:
            mark(tensor)


def _hooks(step: Step) -> tuple[Sequence[Callable[..., Any]], ...]:
    return step.penalties, step.target_transforms, step.mixes, step.weight_projections


def _owner(hook: Callable[..., Any]) -> Any:
    """The regularizer whose method this is."""
    return hook.__self__  # type: ignore[attr-defined]
