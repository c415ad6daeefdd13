"""One update of one trial; `runner.engine.vectorized.step` maps the same over several.

B images, C channels, H by W pixels, K classes, T trials (here 1). Nothing here waits for the device.
"""

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.engine.graph import GraphedPass
from runner.engine.rng import random_state, restore_random_state
from runner.engine.settings import Compile, Settings
from runner.engine.state import TrainState
from runner.machine import let_go_of_memory
from runner.optimizer import sam
from runner.seeds import derive
from runner.warnings import note

SMALLEST_PART = 2  # images of a batch that is cut for the device's memory
Batch = tuple[Tensor, ...]  # images [B, C, H, W], labels [B]; a teacher's scores [B, K] where they are known
Predictions = tuple[Tensor, Tensor]  # scores [B, K] and labels [B], or [T, B, K] and [T, B] or [B]
StepResult = tuple[Tensor, Predictions]  # mean losses [T], and what was answered

Loss = Callable[[Tensor, Tensor], Tensor]
Penalty = Callable[[Mapping[str, Tensor]], Tensor]
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
Teacher = Callable[[Tensor], Tensor]
TransformTargets = Callable[[Tensor], Tensor]
ProjectWeights = Callable[[nn.Module], None]


class Step:
    """`step(state, batch)`: forward, backward, and one update of the weights.

    With an optimizer that has a radius (`sam`), forward and backward happen twice: at the weights, then uphill from
    them. Losses and predictions are those of the first pass.

    Args:
        criterion: mean loss of scores [B, K] and targets, which are labels [B] or class probabilities [B, K].
        penalties, mixes, target_transforms, weight_projections: what the regularizers do, each to a part of the step.
        freezing_norms: names of normalization layers whose parameters freeze during the run. From then on they
            normalize by their running statistics, which stay.
        seed: of the draws that mix images.
        held: further normalization layers that rest, by name, each with the parameters that say until when.
        resting: names of parameters that no penalty touches while they take no gradient.
        teacher: gives scores [B, K] of images, which join the targets; for those batches that do not bring them along.

    Attributes:
        forward: what gives the scores, the network or a part of it, where its inputs are computed beforehand.
    """

    def __init__(
        self,
        network: nn.Module,
        criterion: nn.Module,
        settings: Settings,
        num_classes: int,
        penalties: Sequence[Penalty] = (),
        mixes: Sequence[Mix] = (),
        target_transforms: Sequence[TransformTargets] = (),
        weight_projections: Sequence[ProjectWeights] = (),
        freezing_norms: Mapping[str, Any] = MappingProxyType({}),
        seed: int = 0,
        channels_last: bool = False,
        teacher: Teacher | None = None,
        held: Mapping[str, Sequence[nn.Parameter]] = MappingProxyType({}),
        resting: Collection[str] = (),
    ) -> None:
        self.forward: nn.Module = network
        self.resting = frozenset(resting)
        self.teacher = teacher
        self.network = network
        self.criterion = criterion
        self.parameters = dict(network.named_parameters())
        self.trained = [
            parameter for name, parameter in self.parameters.items() if parameter.requires_grad or name in self.resting
        ]
        self.clip_grad_norm = settings.clip_grad_norm
        self.accumulate_steps = settings.accumulate_steps
        self.shrinks = settings.on_oom == "shrink"
        self.num_classes = num_classes
        self.penalties = penalties
        self.mixes = mixes
        self.target_transforms = target_transforms
        self.weight_projections = weight_projections
        self.freezing_norms = freezing_norms
        self.freezing = self._freezing(network)
        self.freezing += [(network.get_submodule(path), list(deciding)) for path, deciding in held.items()]
        self.seed = seed
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.graphs = settings.compile in ("reduce-overhead", "max-autotune")
        self.losses: Any = compiled(self._losses, settings.compile, network.parameters())
        self.graphed = settings.compile == "graph"
        self._graphed_pass: GraphedPass | None = None

    def __call__(self, state: TrainState, batch: Batch) -> StepResult:
        images, labels, *known = batch
        images, targets = self._targets(images, labels, state.step)
        targets = self._taught(images, targets, known)
        if isinstance(state.optimizer, torch.optim.LBFGS):
            outcome = self._solve(state, images, targets, labels)
        else:
            scaler = state.precision.scaler
            outcome, _ = self._gradients(state, images, targets, labels)
            if any(self._radii(state)):
                with self._uphill(state):
                    self._gradients(state, images, targets, labels)
            if self.clip_grad_norm is not None:
                scaler.unscale_(state.optimizer)
                self._clip(self.clip_grad_norm)
            if scaler.is_enabled():
                scaler.step(state.optimizer)
                scaler.update()
            else:
                state.optimizer.step()
        self._project_weights()
        state.schedule.step()
        if state.average:
            state.average.update()
        return outcome

    def _gradients(
        self, state: TrainState, images: Tensor, targets: Tensor, labels: Tensor
    ) -> tuple[StepResult, list[Tensor]]:
        """Fresh gradients of the batch; the outcome, and each part of the whole loss with its penalties.

        Where the device's memory is too small for a part, the parts of this batch and of those to come are halved.
        """
        while True:
            kept = self._altered_by_forward(state) if self.shrinks else None
            try:
                return self._gradients_of_parts(state, images, targets, labels)
            except torch.OutOfMemoryError:
                size = labels.shape[-1] // self._num_parts(state, labels) // 2
                if kept is None or size < SMALLEST_PART:
                    raise
            self._restore(state, kept)
            state.part_size = size
            let_go_of_memory()
            note(
                f"engine.on_oom=shrink: out of GPU memory; steps now accumulate gradients over {size} images at a time"
            )

    def _altered_by_forward(self, state: TrainState) -> tuple[list[Tensor], dict[str, Any]]:
        """What a forward pass alters besides gradients: buffers, such as running statistics, and the random states."""
        return [buffer.clone() for buffer in self.network.buffers()], random_state(state.device)

    @torch.no_grad()
    def _restore(self, state: TrainState, altered: tuple[list[Tensor], dict[str, Any]]) -> None:
        buffers, random = altered
        for buffer, kept in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(kept)
        restore_random_state(random, state.device)

    def _gradients_of_parts(
        self, state: TrainState, images: Tensor, targets: Tensor, labels: Tensor
    ) -> tuple[StepResult, list[Tensor]]:
        state.optimizer.zero_grad()
        self._hold_frozen_norms()
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        losses, totals, predictions = [], [], []
        for part, part_targets, part_labels in self._parts(state, images, targets, labels):
            share = part_labels.shape[-1] / labels.shape[-1]
            if self.graphed:
                layers = (layer.training for layer, _ in self.freezing)
                form = *(weight.requires_grad for weight in self.trained), *layers
                loss, total, scores = self._graphed_pass_of(state)(part, part_targets, share, form)
            else:
                loss, total, scores = self._pass(state, part, part_targets, share)
            if self.graphs:  # whose next replay writes over what this one gave
                loss, total, scores = loss.clone(), total.clone(), scores.clone()
            losses.append(loss.detach())
            totals.append(total.detach())
            predictions.append((scores.detach(), part_labels))
        return (_total(losses), _joined(predictions)), totals

    def _pass(self, state: TrainState, images: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, loss with penalties and scores of a part of a batch, whose gradients are added to those that are there.

        `share`: of the part in the batch.
        """
        with state.precision.autocast():
            loss, penalty, scores = self.losses(images, targets)
        total = loss if penalty is None else loss + penalty
        if share < 1:
            loss, total = loss * share, total * share
        self._backward(state.precision.scaler.scale(total))
        return loss, total, scores

    def _graphed_pass_of(self, state: TrainState) -> GraphedPass:
        if self._graphed_pass is None:
            keep, restore = partial(self._altered_by_forward, state), partial(self._restore, state)
            self._graphed_pass = GraphedPass(partial(self._pass, state), self.trained, keep, restore)
        return self._graphed_pass

    def _radii(self, state: TrainState) -> list[float]:
        """How far each trial climbs before its gradient is taken (`runner.optimizer.sam`); 0 for not at all."""
        return [sam.radius(state.optimizer)]

    @contextmanager
    def _uphill(self, state: TrainState) -> Iterator[None]:
        """The network at the worst weights nearby, by the gradients that it has.

        Weights and buffers are back at the end: running statistics are those of the weights that stay. Dropout draws
        again, and clipping and the scaling of fp16 see the gradients that are taken here alone.
        """
        moved = [parameter for parameter in self.trained if parameter.grad is not None]
        buffers = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        weights = sam.climb(moved, sam.radius(state.optimizer))
        yield
        sam.descend(moved, weights)
        for buffer, kept in buffers:
            buffer.copy_(kept)

    def _freezing(self, network: nn.Module) -> list[tuple[nn.Module, list[nn.Parameter]]]:
        """Each layer that freezes, with the parameters that say whether it has."""
        layers = [network.get_submodule(path) for path in self.freezing_norms]
        return [(layer, list(layer.parameters())) for layer in layers]

    def _hold_frozen_norms(self) -> None:
        """Let frozen layers normalize by their running statistics, as in evaluation, which moves on from none."""
        for layer, parameters in self.freezing:
            layer.train(any(parameter.requires_grad for parameter in parameters))

    def _solve(self, state: TrainState, images: Tensor, targets: Tensor, labels: Tensor) -> StepResult:
        """An update by a solver that evaluates the loss as often as it likes; the outcome is that of the start."""
        outcomes = []

        def closure() -> float:
            outcome, totals = self._gradients(state, images, targets, labels)
            outcomes.append(outcome)
            for parameter in self.trained:  # torch's L-BFGS flattens a gradient only where it is contiguous
                parameter.grad = None if parameter.grad is None else parameter.grad.contiguous()
            return sum(total.item() for total in totals)

        state.optimizer.step(closure)
        return outcomes[0]

    def _losses(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Data loss, sum of the penalties, scores. This is the part that compiles."""
        return self._losses_of(self.forward, self.parameters, self.criterion, self.penalties, images, targets)

    def _losses_of(
        self,
        network: Callable[[Tensor], Any],
        parameters: Mapping[str, Tensor],
        criterion: Loss,
        penalties: Sequence[Penalty],
        images: Tensor,
        targets: Tensor,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """A network with auxiliary classifiers gives a tuple while it trains: its scores first, then theirs."""
        output = network(images)
        scores, *auxiliary = [output] if isinstance(output, Tensor) else output
        loss = criterion(scores, targets)
        if auxiliary:
            aux_weight: Any = self.network.aux_weight
            extra = torch.stack([criterion(others, targets) for others in auxiliary]).sum()
            loss = loss + aux_weight * extra
        values = [penalty(self._penalized(parameters)) for penalty in penalties]
        return loss, torch.stack(values).sum() if values else None, scores

    def _penalized(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The parameters that a penalty acts on: not those that a transfer has frozen."""
        return {name: value for name, value in parameters.items() if value.requires_grad or name not in self.resting}

    def _targets(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Labels as they are, or class probabilities where a regularizer acts on them."""
        images = images.contiguous(memory_format=self.layout) if images.ndim == 4 else images.contiguous()
        if not (self.mixes or self.target_transforms):
            return images, labels
        targets = F.one_hot(labels, self.num_classes).to(images.dtype)
        images, targets = self.mixed(images, targets, step)
        for transform in self.target_transforms:
            targets = transform(targets)
        return images, targets

    def _taught(self, images: Tensor, targets: Tensor, known: Sequence[Tensor]) -> Tensor:
        """The targets, where there is a teacher as class probabilities and its scores side by side [.., B, 2 K]."""
        if self.teacher is None:
            return targets
        if not targets.is_floating_point():
            targets = F.one_hot(targets, self.num_classes).to(images.dtype)
        if known:
            (scores,) = known
        else:
            scores = self.teacher(images.flatten(0, -4)).unflatten(0, images.shape[:-3])
        return torch.cat([targets, scores.to(targets.dtype)], dim=-1)

    def mixed(self, images: Tensor, targets: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Images and class probabilities with those of other images in them."""
        for number, mix in enumerate(self.mixes):
            numbers = torch.Generator().manual_seed(derive(self.seed, "mix", step, number))
            images, targets = mix(images, targets, numbers)
        return images, targets

    def _num_parts(self, state: TrainState, labels: Tensor) -> int:
        fitting = 1 if state.part_size is None else -(-labels.shape[-1] // state.part_size)
        return max(self.accumulate_steps, fitting)

    def _parts(
        self, state: TrainState, images: Tensor, targets: Tensor, labels: Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The batch cut for gradient accumulation."""
        count = self._num_parts(state, labels)
        if count == 1:
            return [(images, targets, labels)]
        # Batch normalization needs two images: a split by memory is even, and `Batches` sees to those by the config.
        cut = torch.chunk if count == self.accumulate_steps else torch.tensor_split
        of_targets = cut(targets, count, -2 if targets.is_floating_point() else -1)
        return list(zip(cut(images, count, labels.ndim - 1), of_targets, cut(labels, count, -1), strict=True))

    def _backward(self, total: Tensor) -> None:
        total.backward()

    def _clip(self, norm: float) -> None:
        nn.utils.clip_grad_norm_(self.trained, norm)

    def _project_weights(self) -> None:
        for project in self.weight_projections:
            project(self.network)


_compiled_forms: set[tuple[Any, ...]] = set()  # of this process, since the compiler's memory was cleared


def compiled(function: Callable[..., Any], how: Compile, tensors: Iterable[Tensor]) -> Callable[..., Any]:
    """That function as `engine.compile` says, for shapes that stay; its backward pass compiles with it.

    `tensors`: those of the network. The compiler gives up on a function without a word after eight forms of it, so its
    memory is cleared whenever a network of another form comes.
    """
    if how is False or how == "graph":
        return function
    form = tuple((tuple(tensor.shape), tensor.dtype) for tensor in tensors)
    if _compiled_forms and form not in _compiled_forms:
        torch._dynamo.reset()
        _compiled_forms.clear()
    _compiled_forms.add(form)
    return torch.compile(function, dynamic=False, mode="default" if how is True else how)


def _joined(predictions: list[Predictions]) -> Predictions:
    if len(predictions) == 1:
        return predictions[0]
    scores, labels = zip(*predictions, strict=True)
    return torch.cat(scores, -2), torch.cat(labels, -1)


def _total(values: list[Tensor]) -> Tensor:
    return (values[0] if len(values) == 1 else torch.stack(values).sum(0)).reshape(-1)


class StepTimer:
    """Times updates of a training in turns of a few. The state is trained by it.

    Args:
        num_threads: of the CPU, in these turns.
    """

    def __init__(
        self, state: TrainState, step: Callable[[TrainState, Any], StepResult], train: Any, num_threads: int
    ) -> None:
        self.state, self.step, self.num_threads = state, step, num_threads
        self.seconds = math.inf  # of an update, in the fastest turn: another process had the cores in a slower one
        self._batches = (batch for epoch in itertools.count() for batch in train.epoch(epoch, 0))

    def take_turn(self, num_steps: int) -> None:
        """Train for a few updates, and keep the time of one if it is the shortest so far."""
        torch.set_num_threads(self.num_threads)
        began = time.perf_counter()
        for batch in itertools.islice(self._batches, num_steps):
            losses, _ = self.step(self.state, batch)
        losses.tolist()  # waits for the device
        self.seconds = min(self.seconds, (time.perf_counter() - began) / num_steps)
