"""A training run, from its config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from runner.build import parts
from runner.data import Batches, Data
from runner.data.preprocess import fit as fit_preprocess
from runner.engine import device as devices
from runner.engine import threads
from runner.engine.evaluate import Evaluate
from runner.engine.settings import Objective, Settings
from runner.engine.state import TrainState
from runner.engine.step import Step
from runner.errors import UserError
from runner.reg import overrides


@dataclass
class Training:
    """Everything that `loop.fit` needs, for one trial or a stack."""

    state: TrainState
    step: Step
    train: Any  # Batches, or StackBatches
    evaluate: Evaluate
    settings: Settings
    objective: Objective


def training(cfg: DictConfig, dataset: Data | None = None) -> Training:
    """The whole of a training run, on its device, before its first step. Seeds every global generator.

    `dataset`: that of the config, where it has been read before.
    """
    ground = Ground(cfg, dataset)
    state, step = trial_of(cfg, ground)
    ground.choose_threads(state.network)
    if isinstance(state.optimizer, torch.optim.LBFGS):
        _check_deterministic(cfg, state.network, ground.train, ground.precision, ground.settings)
    evaluate = Evaluate(ground.val, step.criterion, ground.precision, parts.views(cfg))
    return Training(state, step, ground.train, evaluate, ground.settings, parts.make(cfg.objective, "objective"))


class Ground:
    """What all trials on one data set and one engine share."""

    def __init__(self, cfg: DictConfig, dataset: Data | None) -> None:
        self.settings: Settings = parts.make(cfg.engine, "engine")
        self.device = devices.pick(self.settings.device)
        self.precision = devices.Precision(self.settings.precision, self.device)
        devices.prepare(self.settings, cfg.seed, self.device)
        self.dataset = dataset or parts.data(cfg)
        self.source = self.dataset.loaded("train", self.device)
        self.preprocess = fit_preprocess(self.source, self.dataset.preprocess).to(self.device)
        given = (self.preprocess, self.device, self.settings)
        augment = parts.augment(cfg, self.source)
        self.train = parts.batches(self.dataset, "train", *given, augment=augment, seed=cfg.seed)
        self.val = parts.batches(self.dataset, "val", *given)

    def choose_threads(self, network: nn.Module, num_trials: int = 1) -> None:
        """Of the CPU, unless the config says how many."""
        if self.device.type == "cpu" and not self.settings.threads:
            threads.choose(network, self.dataset.image_shape, num_trials * self.train.batch_size)


def trial_of(cfg: DictConfig, ground: Ground) -> tuple[TrainState, Step]:
    """One trial's state before its first step, and its step."""
    channels_last = ground.settings.channels_last
    if channels_last is None:
        channels_last = ground.device.type == "cuda"
    # The layout comes before whatever holds on to the weights' storage: it gives them another one.
    network = parts.model(cfg, ground.dataset).to(ground.device)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    network.train()
    parts.fit_to_images(network, ground.train)
    optimizer = parts.optimizer(cfg, network)
    schedule = parts.schedule(cfg, optimizer, ground.train.num_batches)
    state = TrainState(
        network=network,
        optimizer=optimizer,
        schedule=schedule,
        precision=ground.precision,
        device=ground.device,
        average=parts.average(cfg, network, schedule),
        preprocess=ground.preprocess,
    )
    criterion = parts.loss(cfg).to(ground.device)
    return state, _step(cfg, network, criterion, ground.settings, len(ground.dataset.class_names), channels_last)


def _check_deterministic(
    cfg: DictConfig, network: nn.Module, train: Batches, precision: devices.Precision, settings: Settings
) -> None:
    """L-BFGS compares losses from one evaluation to the next: whatever makes them differ is refused.

    Raises:
        UserError: the key that makes the loss noisy, and what to set it to.
    """
    why = "optimizer=lbfgs needs the full batch and a loss without noise"
    if train.num_batches > 1:
        raise UserError(f"data.batch_size: {why}; set it to {train.total_images} or more")
    if precision.name != "fp32":
        raise UserError(f"engine.precision: {why}, and {precision.name} rounds it; set it to fp32")
    if settings.clip_norm is not None:
        raise UserError("engine.clip_norm: optimizer=lbfgs searches along its own direction; set it to null")
    if cfg.augment:
        raise UserError(f"augment: {why}; set augment=none")
    for name, regulariser in zip(cfg.reg, parts.regularisers(cfg), strict=True):
        if regulariser.draws_noise:
            raise UserError(f"reg: {why}, and {name} draws; leave it out")
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d) and layer.p > 0:
            raise UserError(
                f"model: {why}, and its layer {name} is dropout; set model.dropout=0, or take another model"
            )


def _step(
    cfg: DictConfig,
    network: nn.Module,
    criterion: nn.Module,
    settings: Settings,
    num_classes: int,
    channels_last: bool,
) -> Step:
    """The step, with each regulariser's hooks in their places."""
    chosen = parts.regularisers(cfg)

    def acting(hook: str) -> list[Any]:
        return [getattr(regulariser, hook) for regulariser in chosen if overrides(regulariser, hook)]

    return Step(
        network,
        criterion,
        settings,
        num_classes,
        penalties=acting("penalty"),
        mixes=acting("mix"),
        softenings=acting("soften"),
        constraints=acting("constrain"),
        seed=cfg.seed,
        channels_last=channels_last,
    )
