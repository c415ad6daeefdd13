"""A training run, from its config."""

from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from runner.build import parts, pretrained
from runner.build.teacher import teacher
from runner.build.transferred import Transferred
from runner.data import Batches, Data
from runner.data.preprocess import fit as fit_preprocess
from runner.engine import process
from runner.engine.device import select_device
from runner.engine.evaluate import Evaluate
from runner.engine.loop import Training
from runner.engine.precision import Precision
from runner.engine.settings import Settings
from runner.engine.state import TrainState
from runner.engine.step import Step
from runner.errors import UserError
from runner.model.summary import check_network
from runner.objective import Objective
from runner.optimizer import freezing_norms
from runner.reg import Regularizer, overrides
from runner.stages import stage


def training(cfg: DictConfig, dataset: Data | None = None) -> Training:
    """The whole of a training run, on its device, before its first step. Seeds every global generator.

    `dataset`: that of the config, where it has been read before.
    """
    setup = SharedSetup(cfg, dataset)
    regularizers = parts.regularizers(cfg)
    with stage("building the network"):
        state, step = build_trial(cfg, setup, regularizers)
    setup.choose_threads(state.network)
    if isinstance(state.optimizer, torch.optim.LBFGS):
        _check_deterministic(cfg, state.network, regularizers, setup)
    evaluate = Evaluate(setup.val, step.criterion, setup.precision, parts.tta(cfg, setup.dataset))
    evaluate.rest_of = setup.rest_of
    return setup.training(state, step, setup.train, evaluate)


class SharedSetup:
    """What all trials on one data set and one engine share."""

    def __init__(self, cfg: DictConfig, dataset: Data | None) -> None:
        self.settings: Settings = parts.instantiate(cfg.engine, "engine")
        self.objective: Objective = parts.instantiate(cfg.objective, "objective")
        self.device = select_device(self.settings.device)
        self.precision = Precision(self.settings.precision, self.device)
        process.prepare(self.settings, cfg.seed, self.device)
        if self.settings.compile == "graph" and self.device.type != "cuda":
            raise UserError(
                f"engine.compile: graph is a CUDA graph, and this training runs on the {self.device.type}; "
                "set it to false or true"
            )
        self.dataset = dataset or parts.data(cfg)
        with stage("reading the images"):
            _ = self.dataset.num_test_images  # what is wrong with them shall be said before the training
            train_view, eval_view = parts.train_view(cfg, self.dataset), parts.eval_view(cfg, self.dataset)
            self.source = parts.images_of(self.dataset, "train", self.device, train_view)
            self.weights = pretrained.weights_of(cfg, self.dataset)
            self.lacks_weights = self.weights is None and pretrained.has_weights(cfg)
            prepared = pretrained.preprocess_of(self.weights, self.dataset.image_shape) if self.weights else None
            preprocess = prepared or fit_preprocess(self.source, self.dataset.preprocess, self.device)
            self.preprocess = preprocess.to(self.device)
            given = (self.preprocess, self.device, self.settings)
            augment = parts.augment(cfg, self.source)
            self.train = parts.batches(self.dataset, "train", *given, augment=augment, seed=cfg.seed, view=train_view)
            self.val = parts.batches(self.dataset, "val", *given, view=eval_view)

        self.rest_of: Callable[[nn.Module], nn.Module] | None = None  # where the images of val are features
        self.cut: str | None = None  # where a network is cut whose frozen part has seen all images of train
        self.about: list[tuple[str, str]] = []  # lines of the header
        self.teacher = None
        if cfg.loss.get("teacher") is not None:
            with stage("asking the teacher"):
                self.teacher = teacher(cfg, self.dataset, self.preprocess, self.device, self.precision)
                if not (augment or any(overrides(one, "mix") for one in parts.regularizers(cfg))):
                    self.train.known = self.teacher.of_all(self.train)

    def training(self, state: TrainState, step: Any, train: Any, evaluate: Evaluate) -> Training:
        """All of a training together."""
        images, fingerprint = self.dataset, dict(self.dataset.fingerprint)
        if self.teacher is not None:
            fingerprint["teacher's weights"] = self.teacher.digest
        if self.weights is not None:
            fingerprint["trained weights"] = self.weights.digest
        elif self.lacks_weights:
            fingerprint["trained weights"] = "none"
        about = fingerprint, images.class_names, images.image_shape, images.left_out, self.about
        return Training(state, step, train, evaluate, self.settings, self.objective, *about)

    def choose_threads(self, network: nn.Module, num_trials: int = 1) -> None:
        """Of the CPU, unless the config says how many."""
        if self.device.type == "cpu" and not self.settings.num_threads:
            process.set_num_threads(network, self.dataset.image_shape, num_trials * self.train.batch_size)


def build_trial(cfg: DictConfig, setup: SharedSetup, regularizers: list[Regularizer]) -> tuple[TrainState, Step]:
    """One trial's state before its first step, and its step."""
    channels_last = setup.settings.channels_last
    if channels_last is None:
        channels_last = setup.device.type == "cuda"
    # The layout comes before whatever holds on to the weights' storage: it gives them another one.
    network = parts.model(cfg, setup.dataset, regularizers).to(setup.device)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    network.train()
    parts.check_sizes(network, setup.dataset, setup.device)
    if setup.weights is None:
        parts.init_from_data(network, setup.train)
    transferred = Transferred(cfg, network, setup)
    if not str(cfg.model["_target_"]).startswith("runner."):
        check_network(network, next(setup.train.sample(1)), len(setup.dataset.class_names))
    optimizer = parts.optimizer(cfg, network)
    schedule = parts.schedule(cfg, optimizer, setup.train.num_batches, setup.objective)
    average = parts.average(cfg, network, schedule)
    if transferred.held and hasattr(average, "held"):
        average.held = transferred.held
    state = TrainState(
        network=network,
        optimizer=optimizer,
        schedule=schedule,
        precision=setup.precision,
        device=setup.device,
        average=average,
        preprocess=setup.preprocess,
    )
    step = _step(cfg, state, setup, regularizers, channels_last, transferred)
    transferred.run_frozen_part_once(step)
    setup.about = transferred.lines
    return state, step


def _check_deterministic(
    cfg: DictConfig, network: nn.Module, regularizers: list[Regularizer], setup: SharedSetup
) -> None:
    """L-BFGS compares losses from one evaluation to the next: whatever makes them differ is refused.

    Raises:
        UserError: the key that makes the loss noisy, and what to set it to.
    """
    why = "optimizer=lbfgs needs the full batch and a loss without noise"
    train: Batches = setup.train
    if train.num_batches > 1:
        raise UserError(f"data.batch_size: {why}; set it to {train.total_images} or more")
    if train.images.draws:
        raise UserError(f"data.balance: {why}, and it draws the images of each epoch; set it to none")
    if train.sizes is not None:
        raise UserError(f"data.progressive_sizes: {why}, and the images change; set it to null")
    if setup.precision.name != "fp32":
        raise UserError(f"engine.precision: {why}, and {setup.precision.name} rounds it; set it to fp32")
    if setup.settings.clip_grad_norm is not None:
        raise UserError("engine.clip_grad_norm: optimizer=lbfgs searches along its own direction; set it to null")
    if cfg.augment:
        raise UserError(f"augment: {why}; set augment=none")
    for name, regularizer in zip(cfg.reg, regularizers, strict=True):
        if regularizer.draws_noise:
            raise UserError(f"reg: {why}, and {name} draws; leave it out")
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d) and layer.p > 0:
            raise UserError(
                f"model: {why}, and its layer {name} is dropout; set model.dropout=0, or take another model"
            )


def _step(
    cfg: DictConfig,
    state: TrainState,
    setup: SharedSetup,
    regularizers: list[Regularizer],
    channels_last: bool,
    transferred: Transferred,
) -> Step:
    """The step, with each regularizer's hooks in their places."""

    def acting(hook: str) -> list[Any]:
        return [getattr(regularizer, hook) for regularizer in regularizers if overrides(regularizer, hook)]

    return Step(
        state.network,
        parts.loss(cfg, setup.dataset).to(setup.device),
        setup.settings,
        len(setup.dataset.class_names),
        penalties=acting("penalty"),
        mixes=acting("mix"),
        target_transforms=acting("transform_targets"),
        weight_projections=acting("project_weights"),
        freezing_norms=freezing_norms(state.network, state.optimizer.param_groups),
        seed=cfg.seed,
        channels_last=channels_last,
        teacher=setup.teacher,
        held=transferred.held,
        resting=transferred.names,
    )
