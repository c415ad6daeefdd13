"""The training loop, for one trial or T vectorized ones: what differs is the step."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from runner.engine.checkpoint import Checkpoints
from runner.engine.evaluate import Evaluate
from runner.engine.observer import Observer, Record
from runner.engine.settings import Settings
from runner.engine.state import TrainState, Trial
from runner.engine.step import StepResult
from runner.engine.time_limit import TimeLimit
from runner.engine.vectorized.checkpoint import VectorizedCheckpoints
from runner.errors import Interrupted
from runner.objective import Objective
from runner.signals import Stop
from runner.stages import stage

MIN_BATCHES = 10  # of an epoch under way, before its mean loss is held against the initial one


@dataclass
class Training:
    """Everything that `fit` needs, for one trial or several vectorized ones.

    Args:
        step: `step(state, batch)` makes an update. See `runner.engine.step`.
        train: batches, epoch by epoch, from any batch on. See `runner.data`.
        evaluate: `evaluate(state)` gives the validation metrics of each trial.
        fingerprint: what tells the images from others, by aspect; empty where they are not held to anything.
        class_names: K names, in the order of the scores.
        image_shape: C, S, S of the network's images.
        left_out: a line for each image that cannot be read, and is not among the others.
        about: more lines of the header, each with its name.
    """

    state: TrainState
    step: Callable[[TrainState, Any], StepResult]
    train: Any
    evaluate: Evaluate
    settings: Settings
    objective: Objective
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    class_names: Sequence[str] = ()
    image_shape: Sequence[int] = ()
    left_out: str = ""
    about: Sequence[tuple[str, str]] = ()


def fit(
    training: Training,
    observers: Sequence[Observer],
    checkpoints: Checkpoints | VectorizedCheckpoints,
    stop: Stop,
    report_every_steps: int = 50,
    pause_epoch: int | None = None,
) -> None:
    """Train until the epochs or steps are used up, patience ends, or no trial is left.

    `pause_epoch`: leave off after that epoch; the trials are then still running, and their schedules go on.

    Raises:
        Interrupted: `stop` was requested; a checkpoint has been saved.
    """
    state, settings = training.state, training.settings
    for observer in observers:
        observer.started(state)
    beginning = [
        stage("first step" if settings.compile in (False, "graph") else "compiling")
    ]  # of this process, which may take long
    limit = TimeLimit(settings, state, training.train.num_batches)
    while state.active and not (_finished(state, settings) or limit.is_over(state)):
        if pause_epoch is not None and state.epoch >= pause_epoch:
            return
        state.drop_ended()
        meter = _Meter(state)
        for batch in training.train.epoch(state.epoch, start=state.batch):
            with beginning.pop() if beginning else nullcontext():
                losses, predictions = training.step(state, batch)
            state.step += 1
            state.batch += 1
            state.sums.add(losses, predictions, batch[1].shape[-1])
            if state.step == 1:
                meter.first_losses = losses
            if state.step % report_every_steps == 0 or stop.requested:
                limit.plan(state)
                _report(state, meter, settings, observers)
            if stop.requested:
                checkpoints.save(state)
                raise Interrupted(stop.requested)
            if not state.active or state.step == settings.max_steps or limit.is_over(state):
                break
            if checkpoints.due_at_step(state.step):
                _report(state, meter, settings, ())
                checkpoints.save(state)
        records = _end_epoch(training, meter)
        limit.plan(state)
        for observer in observers:
            observer.epoch_ended(state, records)
        is_over = _finished(state, settings) or limit.is_over(state)
        is_last = not state.active or is_over or state.epoch == pause_epoch
        checkpoints.epoch_ended(state, is_last)
    for trial in state.trials:
        trial.status = "finished" if trial.status == "running" else trial.status
    checkpoints.trim(state)


def _finished(state: TrainState, settings: Settings) -> bool:
    out_of_steps = settings.max_steps is not None and state.step >= settings.max_steps
    return state.epoch >= settings.epochs or out_of_steps


class _Meter:
    """Readings of an epoch that need the host: time, and the sums since the last report."""

    def __init__(self, state: TrainState) -> None:
        self.first_losses: Tensor | None = None
        self.images_before = self.num_images = state.sums.num_images
        self.loss_sums = state.sums.loss_sum.tolist()
        self.started = time.perf_counter()

    def read(self, state: TrainState) -> list[float]:
        """Mean losses [T] since the last reading. This waits for the device."""
        if self.first_losses is not None:
            for trial, loss in zip(state.trials, self.first_losses.tolist(), strict=True):
                trial.initial_loss = loss
            self.first_losses = None
        sums, count = state.sums.loss_sum.tolist(), state.sums.num_images - self.num_images
        means = [(now - before) / max(1, count) for now, before in zip(sums, self.loss_sums, strict=True)]
        self.loss_sums, self.num_images = sums, state.sums.num_images
        return means

    def images_per_second(self, state: TrainState) -> float:
        """NaN where this process has trained on none, as after a checkpoint of the epoch's last step."""
        count = state.sums.num_images - self.images_before
        return count / (time.perf_counter() - self.started) if count else math.nan


def _report(state: TrainState, meter: _Meter, settings: Settings, observers: Sequence[Observer]) -> None:
    """Read the losses since the last report, end the trials that have blown up, and tell the observers."""
    losses = meter.read(state)
    if state.batch >= MIN_BATCHES:
        _end_diverged(state, meter, settings)
    for observer in observers:
        observer.reported(state, losses)


def _end_diverged(state: TrainState, meter: _Meter, settings: Settings) -> None:
    """End the trials whose mean loss over the epoch, so far, is no number or too far above their first loss."""
    for trial, loss_sum in zip(state.trials, meter.loss_sums, strict=True):
        mean = loss_sum / max(1, state.sums.num_images)
        limit = settings.divergence_factor * (trial.initial_loss or math.inf)
        if trial.status != "running" or (math.isfinite(mean) and mean <= limit):
            continue
        trial.status = "diverged"
        if math.isfinite(mean):
            trial.reason = (
                f"the mean training loss of epoch {state.epoch + 1} was {mean:.3g} by step {state.step}, above "
                f"{settings.divergence_factor:g} times the initial {trial.initial_loss:.3g}"
            )
        else:
            trial.reason = f"the training loss became {mean} by step {state.step}"


def _end_epoch(training: Training, meter: _Meter) -> list[Record]:
    """Close the epoch: its metrics for each trial, its verdict on each, and clean sums.

    The record of a trial that had ended before is empty.
    """
    state, settings, objective = training.state, training.settings, training.objective
    _report(state, meter, settings, ())
    _end_diverged(state, meter, settings)
    images_per_second = meter.images_per_second(state)
    sums = state.sums
    losses = [loss / sums.num_images for loss in sums.loss_sum.tolist()]
    accuracies = [correct / sums.num_images for correct in sums.num_correct.tolist()]
    state.epoch, state.batch = state.epoch + 1, 0
    scores: Sequence[Record] = [{}] * len(state.trials)
    is_last = _finished(state, settings) or (state.planned_steps is not None and state.step >= state.planned_steps)
    if state.active and (is_last or state.epoch % settings.eval_every_epochs == 0):
        with stage("validation"):
            if state.average:
                state.average.before_scoring(lambda: training.train.epoch(state.epoch - 1))
            scores = training.evaluate(state)
    records: list[Record] = [{} for _ in state.trials]
    for number in state.present:
        trial, schedule = state.trials[number], state.of(number).schedule
        score = scores[number] if trial.status == "running" else {}
        record = {"epoch": state.epoch, "step": state.step, "lr": schedule.used_lrs[0], "train/loss": losses[number]}
        record |= {"train/accuracy": accuracies[number], **score, "images_per_second": images_per_second}
        records[number] = record
        _judge(trial, record, state.epoch, settings, objective)
        if objective.name in record:
            schedule.observe(record[objective.name], state.epoch)
    sums.clear()
    return records


def _judge(trial: Trial, record: Record, epoch: int, settings: Settings, objective: Objective) -> None:
    """Note a new best; end a trial that has lost patience. Of epochs of equal accuracy the lower loss decides."""
    value = record.get(objective.name)
    if value is None:
        return
    loss = record.get(objective.name.replace("accuracy", "loss"))
    lower = loss is not None and trial.best_loss is not None and loss < trial.best_loss
    if objective.better(value, trial.best_value) or (value == trial.best_value and lower):
        trial.best_value, trial.best_epoch, trial.best_loss = value, epoch, loss
    else:
        waited = epoch - (trial.best_epoch or 0)
        if settings.patience is not None and waited >= settings.patience and trial.status == "running":
            trial.status = "finished"
            trial.reason = f"no better {objective.name} for {waited} epochs"
