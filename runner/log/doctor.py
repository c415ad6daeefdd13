"""Watches a training for signs that something is wrong, and says once what to change.

Signs are read from the epochs' metrics, which are there anyway, and from what costs next to nothing once an epoch: how
far the weights have moved, the units that give 0 for one batch, the norm of the gradients that the last update left.
The latter take at most a hundredth of the time, and leave the random generators as they were.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor

from runner.engine.loop import Training
from runner.engine.observer import Record
from runner.engine.state import TrainState
from runner.model.activity import observed
from runner.model.summary import evaluating, parameter_names
from runner.store import RunFolder
from runner.throttle import Throttle
from runner.warnings import failure_as_warning, note

SHARE = 0.005  # of the time, for each of the two things that are measured
SEVERAL = 5  # epochs in which a sign has to hold
WIDE = 0.3  # gap of the losses, as a share of the first training loss, below which it is no sign
STALLED = 0.01  # share by which the training loss has to fall in several epochs
DONE = 0.97  # training accuracy, from which on there is no more progress to be expected
RISEN = 0.25  # share by which the validation loss has to rise above its lowest
DEAD = 0.9  # share of a layer's units
MOVES = (1e-5, 0.1)  # update-to-weight ratio, estimated over an epoch
FIRST_LOOK = 2  # epoch, at whose end it can first be estimated
LEAST_UPDATES = 10  # in an epoch, from which on that can be estimated
FALLEN = 0.5  # of the rate that it had several epochs ago: still falling
LEFT = 0.25  # share of the epochs, of which the end is no waste
LEAST_REPORTS = 6  # gradient norms, before one of them can be a spike
SPIKE = 10.0  # times the median
STARVED = 0.5  # share of an epoch in which the step waited for images
SAMPLED = 4096  # numbers of each weight whose movement is measured
NUM_IMAGES = 128


@dataclass(frozen=True)
class Advice:
    """What is said of a sign: its name, the epoch in which it was seen, and one line with the key to change."""

    sign: str
    epoch: int
    text: str


@dataclass
class Vitals:
    """What is known at the end of an epoch.

    Args:
        records: of the epochs so far.
        num_epochs: of the whole training.
        peak_lr: the highest rate so far.
        dead: share of dead units by layer.
        ratio: estimated update-to-weight ratio, the median of the layers; None where it was not measured.
        norms, losses: gradient norms and mean losses, report by report.
        diverged: why the training was ended as diverged; empty where it was not.
        waited: share of the epoch in which the step waited for images.
    """

    records: Sequence[Mapping[str, float]]
    num_epochs: int
    peak_lr: float = 0.0
    dead: Mapping[str, float] = field(default_factory=dict)
    ratio: float | None = None
    norms: Sequence[float] = ()
    losses: Sequence[float] = ()
    waited: float = 0.0
    diverged: str = ""


Sign = Callable[[Vitals], str | None]


def _values(vitals: Vitals, key: str) -> list[float]:
    return [record.get(key, math.nan) for record in vitals.records]


def _validated(vitals: Vitals) -> list[Mapping[str, float]]:
    return [record for record in vitals.records if record.get("val/loss") is not None]


def gap(vitals: Vitals) -> str | None:
    """Train and val part: the gap grows for several epochs, and validation has not been better for as long."""
    records = _validated(vitals)
    if len(records) <= SEVERAL:
        return None
    gaps = [record["val/loss"] - record["train/loss"] for record in records]
    last = gaps[-SEVERAL - 1 :]
    accuracies = [record["val/accuracy"] for record in records]
    scale = records[0]["train/loss"]
    grows = all(after > before for before, after in pairwise(last))
    no_better = max(accuracies[-SEVERAL:]) <= max(accuracies[:-SEVERAL])
    if grows and no_better and gaps[-1] > WIDE * scale:
        return (
            f"the gap between train/loss and val/loss has grown for {SEVERAL} epochs, to {gaps[-1]:.2f}: overfitting; "
            "add reg=[l2,dropout], augment=[crop,flip], or stop earlier with engine.patience"
        )
    return None


def overconfidence(vitals: Vitals) -> str | None:
    """The validation loss rises while the accuracy does too."""
    records = _validated(vitals)
    if len(records) <= SEVERAL:
        return None
    losses = [record["val/loss"] for record in records]
    best = min(range(len(losses)), key=losses.__getitem__)
    since = records[best + 1 :]
    if len(since) < SEVERAL or min(losses[-3:]) < (1 + RISEN) * losses[best]:
        return None
    if records[-1]["val/accuracy"] > records[best]["val/accuracy"]:
        return (
            f"val/loss has risen by {losses[-1] / losses[best] - 1:.0%} since epoch {records[best]['epoch']:.0f} while "
            "val/accuracy rose: overconfident; reg=label_smoothing, objective.name=val/loss, or runner test --calibrate"
        )
    return None


def plateau(vitals: Vitals) -> str | None:
    """The training loss stands still far from the end of what can be learned, at a rate that is not small."""
    stalled, rate_falls = _stalled(vitals)
    if not stalled or rate_falls or vitals.records[-1]["train/accuracy"] >= DONE:
        return None
    loss = vitals.records[-1]["train/loss"]
    return (
        f"train/loss has not fallen below {loss:.3g} for {SEVERAL} epochs: a plateau; change optimizer.lr "
        "(runner check --only lr), lower it on the way (schedule=cosine), or take a larger model"
    )


def wasted_rate(vitals: Vitals) -> str | None:
    """The rate still falls after the progress has ended, and many epochs are left."""
    stalled, rate_falls = _stalled(vitals)
    if not stalled or not rate_falls:
        return None
    last = vitals.records[-1]
    if last["epoch"] > (1 - LEFT) * vitals.num_epochs or last["train/accuracy"] >= DONE:
        return None
    return (
        f"lr has fallen to {last['lr']:.1e} and train/loss no longer moves, with "
        f"{vitals.num_epochs - last['epoch']:.0f} epochs to go: the rate falls too early; a slower "
        "schedule (schedule.step_epochs, schedule.gamma), or fewer engine.epochs"
    )


def _stalled(vitals: Vitals) -> tuple[bool, bool]:
    """Whether the training loss stood still for several epochs, and whether the rate fell meanwhile."""
    records = vitals.records
    if len(records) < 2 * SEVERAL:
        return False, False
    losses = _values(vitals, "train/loss")
    before, after = min(losses[:-SEVERAL]), min(losses[-SEVERAL:])
    if not math.isfinite(before) or after < (1 - STALLED) * before:
        return False, False
    rates = _values(vitals, "lr")
    return True, rates[-1] <= FALLEN * rates[-1 - SEVERAL] or rates[-1] <= 0.1 * vitals.peak_lr


def dead_units(vitals: Vitals) -> str | None:
    """Nearly all units of a layer give 0 for every image."""
    if not vitals.dead:
        return None
    name, share = max(vitals.dead.items(), key=lambda pair: pair[1])
    if share < DEAD:
        return None
    return f"{share:.0%} of the units of {name} are dead; a lower optimizer.lr, init=he, or model.activation=leaky_relu"


def update_ratio(vitals: Vitals) -> str | None:
    """Updates are too small to change anything, or so large that they undo each other."""
    if vitals.ratio is None or not vitals.records:
        return None
    low, high = MOVES
    if vitals.ratio < low and vitals.records[-1]["lr"] >= 0.5 * vitals.peak_lr:
        return (
            f"an update moves the weights by about {vitals.ratio:.0e} of their size, 1e-3 is usual; "
            "a higher optimizer.lr (runner check --only lr)"
        )
    if vitals.ratio > high or not math.isfinite(vitals.ratio):
        return (
            f"an update moves the weights by about {vitals.ratio:.0e} of their size, 1e-3 is usual; "
            "a lower optimizer.lr (runner check --only lr)"
        )
    return None


def spikes(vitals: Vitals) -> str | None:
    """A gradient norm far above the usual, with a loss that rose."""
    norms, losses = vitals.norms, vitals.losses
    if len(norms) < LEAST_REPORTS:
        return None
    first = losses[0]
    for place in range(LEAST_REPORTS - 1, len(norms)):
        usual = median(norms[:place])
        rises = losses[place] > 1.5 * median(losses[max(0, place - 5) : place]) and losses[place] > 0.2 * first
        if not norms[place] <= SPIKE * usual and (rises or not math.isfinite(losses[place])):
            return (
                f"the gradient's norm jumped to {norms[place]:.2g}, {SPIKE:g} times the usual {usual:.2g} or more, and "
                "the loss with it; engine.clip_grad_norm=1, schedule.warmup_epochs=1, or a lower optimizer.lr"
            )
    return None


def starved(vitals: Vitals) -> str | None:
    """The step waits for images."""
    if vitals.waited < STARVED:
        return None
    return (
        f"the training waited for images in {vitals.waited:.0%} of the epoch; raise data.num_workers, set data.cache, "
        "or lower data.image_size (runner check --only cost)"
    )


def diverging(vitals: Vitals) -> str | None:
    """The loss became no number, or rose above what it was at first."""
    losses = _values(vitals, "train/loss")
    if vitals.diverged:
        return f"{vitals.diverged}; a lower optimizer.lr, schedule.warmup_epochs=1, or engine.clip_grad_norm=1"
    if losses and not math.isfinite(losses[-1]):
        return f"train/loss became {losses[-1]}; a lower optimizer.lr, or engine.clip_grad_norm=1"
    return None


SIGNS: dict[str, Sign] = {
    "diverging": diverging,
    "gap": gap,
    "overconfidence": overconfidence,
    "plateau": plateau,
    "wasted_rate": wasted_rate,
    "dead_units": dead_units,
    "update_ratio": update_ratio,
    "gradient_spikes": spikes,
    "starved": starved,
}


class Doctor:
    """An observer that tells each sign once, and notes all of them in run.json (`advice`).

    Args:
        speaks: whether a line is printed, beside what is noted.
        trial: whose run it is, where several train together.
    """

    def __init__(self, folder: RunFolder, training: Training, speaks: bool = True, trial: int = 0) -> None:
        self.folder = folder
        self.training = training
        self.speaks = speaks
        self.trial = trial
        self.records: list[Record] = []
        self.told: list[dict[str, Any]] = [*folder.record.get("advice", [])]
        self.norms: list[float] = []
        self.losses: list[float] = []
        self.norm_throttle, self.look_throttle = Throttle(SHARE), Throttle(SHARE)
        self.before: tuple[int, dict[str, Tensor]] | None = None  # update, and numbers of the weights then
        self.images: Tensor | None = None
        self.waited = 0.0
        self.failed = False

    def started(self, state: TrainState) -> None:
        self.records = [record for record in self.folder.metrics if record["epoch"] <= state.epoch]
        self.before = state.step, self._numbers(state)
        self.waited = self._seconds_waited()

    def reported(self, state: TrainState, losses: list[float]) -> None:
        if self.trial not in state.present or not self.norm_throttle.due:
            return
        with self.norm_throttle.done():
            gradients = [p.grad for p in state.of(self.trial).network.parameters() if p.grad is not None]
            if gradients:
                self.norms.append(torch.nn.utils.get_total_norm(gradients).item())
                self.losses.append(losses[self.trial])

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial not in state.present or not records[self.trial]:
            return
        self.records.append(records[self.trial])
        with failure_as_warning("the doctor's advice"):
            vitals = self._vitals(state)
            told = {advice["sign"] for advice in self.told}
            for sign, look in SIGNS.items():
                text = None if sign in told else look(vitals)
                if text is not None:
                    self._tell(Advice(sign, state.epoch, text))

    def _tell(self, advice: Advice) -> None:
        self.told.append(vars(advice))
        self.folder.update(advice=self.told)
        if self.speaks:
            note(f"epoch {advice.epoch}: {advice.text}")

    def _vitals(self, state: TrainState) -> Vitals:
        rates = [record["lr"] for record in self.records if math.isfinite(record.get("lr", math.nan))]
        vitals = Vitals(
            self.records, self.training.settings.epochs, max(rates, default=0.0), norms=self.norms, losses=self.losses
        )
        if state.epoch < FIRST_LOOK:  # scores that begin at 0 find their size first
            self.before = state.step, self._numbers(state)
        elif self.look_throttle.due:
            with self.look_throttle.done():
                vitals.ratio = self._ratio(state)
                vitals.dead = self._dead(state)
        trial = state.trials[self.trial]
        vitals.diverged = trial.reason if trial.status == "diverged" else ""
        waited = self._seconds_waited()
        speed = self.records[-1].get("images_per_second", math.nan)
        if speed > 0:
            vitals.waited = (waited - self.waited) * speed / self.training.train.num_images
        self.waited = waited
        return vitals

    @torch.no_grad()
    def _numbers(self, state: TrainState) -> dict[str, Tensor]:
        """Some numbers of each weight, copied."""
        network = state.of(self.trial).network
        shown = parameter_names(network)
        return {
            shown[name]: _some(parameter).clone()
            for name, parameter in network.named_parameters()
            if parameter.ndim > 1 and parameter.requires_grad
        }

    def _ratio(self, state: TrainState) -> float | None:
        """How far an update moves the weights, about: the way since the last look, as of steps in random directions.

        N steps of the same size lead sqrt(N) times as far if they are random, and N times if they all go one way. None
        where there were too few.
        """
        now = self._numbers(state)
        before, self.before = self.before, (state.step, now)
        if before is None or state.step < before[0] + LEAST_UPDATES or not now:
            return None
        ways = [
            (now[name] - old).norm() / torch.maximum(now[name].norm(), old.norm()).clamp(min=1e-12)
            for name, old in before[1].items()
            if name in now
        ]
        return median(torch.stack(ways).tolist()) / math.sqrt(state.step - before[0])

    @torch.no_grad()
    def _dead(self, state: TrainState) -> dict[str, float]:
        """Share of dead units by layer, on one batch of the validation split in evaluation mode."""
        network = state.of(self.trial).network
        if self.images is None:
            batches = self.training.evaluate.batches
            self.images = batches.preprocess(batches.originals(torch.arange(min(NUM_IMAGES, batches.num_images))))
        # Whatever is drawn leaves no trace: a run with the doctor is the same as one without.
        devices = [state.device] if state.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            evaluating(network),
            state.precision.autocast(),
            observed(network) as found,
        ):
            network(self.images)
        return {one.name: one.dead for one in found.values() if one.dead is not None}

    def _seconds_waited(self) -> float:
        """Since the start of the process, for worker processes or for files to be read."""
        train = self.training.train.of(self.trial)
        return float(getattr(train.loader, "seconds_waited", 0.0))


def _some(parameter: Tensor) -> Tensor:
    flat = parameter.detach().flatten()
    return flat[:: max(1, -(-flat.numel() // SAMPLED))]
