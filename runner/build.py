"""Turns a config into built objects. The only place that instantiates anything a config names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from runner import config as configs
from runner.augment import Augmentation, Pipeline
from runner.data import Batches, Data, Preprocess
from runner.data.batches import Resident, StackBatches, Workers
from runner.data.preprocess import blank, look_at
from runner.data.preprocess import fit as fit_preprocess
from runner.data.source import Images, Source
from runner.engine import device as devices
from runner.engine import memory, threads
from runner.engine.evaluate import Evaluate
from runner.engine.settings import Objective, Settings
from runner.engine.stack import StackState
from runner.engine.stack_step import StackEvaluate, StackStep
from runner.engine.state import TrainState
from runner.engine.step import Step, seconds_per_step
from runner.engine.template import Template
from runner.errors import CannotStack, UserError
from runner.reg import Regulariser, overrides
from runner.schedule import Curve, Schedule
from runner.stacks import check_alike
from runner.views import Views


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
    ground = _Ground(cfg, dataset)
    state, step = _trial(cfg, ground)
    ground.choose_threads(state.network)
    if isinstance(state.optimizer, torch.optim.LBFGS):
        _check_deterministic(cfg, state.network, ground.train, ground.precision, ground.settings)
    evaluate = Evaluate(ground.val, step.criterion, ground.precision, views(cfg))
    return Training(state, step, ground.train, evaluate, ground.settings, make(cfg.objective, "objective"))


def stack(cfgs: Sequence[DictConfig], dataset: Data | None = None) -> Training:
    """Several trials of one architecture as one batched network, to be trained by the same loop.

    They differ in numbers alone (see `runner.stacks`), and each ends as it would alone; with noise inside the network
    (dropout and its kin) that holds for its statistics, and the draws depend on the trial's seed alone.

    Raises:
        CannotStack: they can only train one by one.
    """
    check_alike(cfgs)
    ground = _Ground(cfgs[0], dataset)
    if ground.precision.name == "fp16":
        raise CannotStack("engine.precision: fp16 scales all gradients by one number, so it does not stack")
    states, steps = [], []
    for cfg in cfgs:
        devices.seed_everything(cfg.seed)
        state, step = _trial(cfg, ground)
        states.append(state)
        steps.append(step)
    ground.choose_threads(states[0].network, len(states))
    template = Template([state.network for state in states], [cfg.seed for cfg in cfgs], ground.device)
    stacked = StackState(states)
    step = StackStep(steps, template, stacked, ground.settings)
    train = _stacked_batches(cfgs, ground, stacked.present)
    evaluate = StackEvaluate(ground.val, step.criterion, ground.precision, views(cfgs[0]), template, steps)
    step.try_out(stacked, next(iter(train.epoch())))
    return Training(stacked, step, train, evaluate, ground.settings, make(cfgs[0].objective, "objective"))


def _stacked_batches(cfgs: Sequence[DictConfig], ground: _Ground, present: Sequence[int]) -> Batches | StackBatches:
    """One batch for all where the seed and the augmentation are the same, else each trial's own."""
    pipelines: list[Pipeline | None] = []  # trials with the same augmentation share one
    for number, cfg in enumerate(cfgs):
        alike = next((place for place in range(number) if cfgs[place].augment == cfg.augment), None)
        pipelines.append((augment(cfg, ground.source) or None) if alike is None else pipelines[alike])
    if len({cfg.seed for cfg in cfgs}) == 1 and all(pipeline is pipelines[0] for pipeline in pipelines):
        return ground.train
    members = [ground.train.of_trial(cfg.seed, pipeline) for cfg, pipeline in zip(cfgs, pipelines, strict=True)]
    return StackBatches(members, present)


@dataclass(frozen=True)
class Pace:
    """Seconds of a step of trials that train together, and of one of them alone."""

    num_trials: int
    together: float
    alone: float

    @property
    def gain(self) -> float:
        """How many times as fast they train together as one by one."""
        return self.num_trials * self.alone / self.together


def pace_of_stack(cfgs: Sequence[DictConfig], dataset: Data | None = None, num_steps: int = 10) -> Pace:
    """How fast these trials train together and alone, by a few steps of each on this machine.

    Raises:
        CannotStack: they can only train one by one.
    """
    dataset = dataset or data(cfgs[0])
    seconds = []
    for make_ in (lambda: stack(cfgs, dataset), lambda: training(cfgs[0], dataset)):
        made = make_()  # it also sets the number of threads
        seconds.append(seconds_per_step(made.state, made.step, made.train, num_steps))
    return Pace(len(cfgs), *seconds)


def most_together(cfg: DictConfig, dataset: Data | None = None) -> int:
    """How many trials of this config fit into half of the memory that is free."""
    made = training(cfg, dataset)
    needed = memory.of_trial(made.state, made.step, next(iter(made.train.epoch())))
    return max(1, memory.available(made.state.device) // (2 * needed))


class _Ground:
    """What all trials on one data set and one engine share."""

    def __init__(self, cfg: DictConfig, dataset: Data | None) -> None:
        self.settings: Settings = make(cfg.engine, "engine")
        self.device = devices.pick(self.settings.device)
        self.precision = devices.Precision(self.settings.precision, self.device)
        devices.prepare(self.settings, cfg.seed, self.device)
        self.dataset = dataset or data(cfg)
        self.source = self.dataset.loaded("train")
        self.preprocess = fit_preprocess(self.source, self.dataset.preprocess).to(self.device)
        given = (self.preprocess, self.device, self.settings)
        self.train = batches(self.dataset, "train", *given, augment=augment(cfg, self.source), seed=cfg.seed)
        self.val = batches(self.dataset, "val", *given)

    def choose_threads(self, network: nn.Module, num_trials: int = 1) -> None:
        """Of the CPU, unless the config says how many."""
        if self.device.type == "cpu" and not self.settings.threads:
            threads.choose(network, self.dataset.image_shape, num_trials * self.train.batch_size)


def _trial(cfg: DictConfig, ground: _Ground) -> tuple[TrainState, Step]:
    """One trial's state before its first step, and its step."""
    channels_last = ground.settings.channels_last
    if channels_last is None:
        channels_last = ground.device.type == "cuda"
    # The layout comes before whatever holds on to the weights' storage: it gives them another one.
    network = model(cfg, ground.dataset).to(ground.device)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    network.train()
    fit_to_images(network, ground.train)
    optimizer_ = optimizer(cfg, network)
    schedule_ = schedule(cfg, optimizer_, ground.train.num_batches)
    state = TrainState(
        network=network,
        optimizer=optimizer_,
        schedule=schedule_,
        precision=ground.precision,
        device=ground.device,
        average=average(cfg, network, schedule_),
        preprocess=ground.preprocess,
    )
    criterion = loss(cfg).to(ground.device)
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
    for name, regulariser in zip(cfg.reg, regularisers(cfg), strict=True):
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
    chosen = regularisers(cfg)

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


def data(cfg: DictConfig) -> Data:
    """The data set; nothing is read yet."""
    dataset: Data = make(cfg.data, "data")
    return dataset


def model(cfg: DictConfig, dataset: Data | None = None) -> nn.Module:
    """The network for the data's images and classes, initialised, with its regularisers attached; on the CPU.

    One that takes weights from training images has yet to see some: see `fit_to_images`.
    """
    dataset = dataset or data(cfg)
    C, S, _ = dataset.image_shape
    num_classes = len(dataset.class_names)
    network: nn.Module = make(cfg.model, "model", in_channels=C, image_size=S, num_classes=num_classes)
    make(cfg.init, "init")(network)
    for regulariser in regularisers(cfg):
        regulariser.attach(network)
    return network


def fit_to_images(network: nn.Module, train: Batches) -> None:
    """Show preprocessed training images, without augmentation, to a network that has the method `fit_to_images`.

    It is called with `sample`; `sample(n)` iterates over chunks [b, C, S, S] of at most n images. What it does belongs
    to its weights, so a network that is loaded needs no images.
    """
    fit = getattr(network, "fit_to_images", None)
    if fit is not None:
        fit(train.sample)


def optimizer(cfg: DictConfig, network: nn.Module) -> Optimizer:
    """The optimizer of the network's trainable parameters, on the device they are on."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    built: Optimizer = make(cfg.optimizer, "optimizer", params=trained, network=network)
    return built


def schedule(cfg: DictConfig, optimizer: Optimizer, steps_per_epoch: int) -> Schedule:
    """The learning-rate schedule, to be stepped once an update."""
    total_steps = cfg.engine.epochs * steps_per_epoch
    if cfg.engine.max_steps is not None:
        total_steps = min(total_steps, cfg.engine.max_steps)
    lengths = {"steps_per_epoch": steps_per_epoch, "total_steps": total_steps}
    curve: Curve = make(cfg.schedule, "schedule", **lengths, mode=cfg.objective.mode)
    return Schedule(optimizer, curve)


def loss(cfg: DictConfig) -> nn.Module:
    """The loss: mean over a batch of scores [B, K] and labels [B] or class probabilities [B, K]."""
    criterion: nn.Module = make(cfg.loss, "loss")
    return criterion


def views(cfg: DictConfig) -> Views:
    """How an image is looked at when it is scored."""
    chosen: Views = make(cfg.views, "views")
    return chosen


def regularisers(cfg: DictConfig) -> list[Regulariser]:
    """The regularisers, in the order in which they were chosen."""
    return [make(node, f"reg.{name}") for name, node in cfg.reg.items()]


def augment(cfg: DictConfig, source: Source | None = None) -> Pipeline:
    """The augmentations, in the order in which they were chosen; ready for the training split where it is given."""
    members: list[Augmentation] = [make(node, f"augment.{name}") for name, node in cfg.augment.items()]
    pipeline = Pipeline(members)
    if source is not None:
        pipeline.prepare(source.image_shape, lambda: look_at(source))
    return pipeline


def average(cfg: DictConfig, network: nn.Module, schedule: Schedule) -> Any:
    """The average of the network's weights over the run, or None. The schedule says how far the run is."""
    return make(cfg.average, "average", network=network, schedule=schedule) if cfg.average else None


def batches(
    dataset: Data,
    split: Any,
    preprocess: Preprocess,
    device: torch.device,
    settings: Settings,
    augment: Pipeline | None = None,
    seed: int | None = None,
) -> Batches:
    """The batches of a split, on the device; with a seed, those that train."""
    source = dataset.loaded(split)
    return Batches(
        _route(dataset, source, device),
        len(source),
        dataset.batch_size * settings.accumulate_steps if seed is not None else dataset.eval_batch_size,
        preprocess,
        augment=augment or None,
        seed=seed,
        drop_last=dataset.drop_last and seed is not None,
        limit=settings.limit_batches,
    )


def _route(dataset: Data, source: Source, device: torch.device) -> Resident | Workers:
    """Pixels that are in memory stay on the device, others are read by workers."""
    if isinstance(source, Images) and dataset.route != "workers":
        return Resident(source, device)
    return Workers(source, device, dataset.num_workers)


def scored_network(cfg: DictConfig, dataset: Data, saved: Mapping[str, Any]) -> tuple[nn.Module, Preprocess]:
    """The network of a saved state with the weights that count, and its preprocessing; on the CPU."""
    network = model(cfg, dataset)
    preprocess = blank(dataset.image_shape, dataset.preprocess)
    try:
        network.load_state_dict(saved["average"] or saved["network"])
        preprocess.load_state_dict(saved["preprocess"])
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"model: the checkpoint does not fit the config ({detail})") from None
    return network.eval(), preprocess


# ---------------------------------------------------------------------------------------------------------------------


def make(node: DictConfig, key: str, **given: Any) -> Any:
    """What the node's `_target_` makes of its keys and of those given arguments that it takes.

    Raises:
        UserError: the constructor rejects a value.
    """
    target = configs.resolve(node["_target_"], f"{key}._target_")
    parameters = configs.parameters_of(target)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    taken = {
        name: value for name, value in given.items() if (name in parameters or takes_any) and node.get(name) is None
    }
    try:
        return _instantiate(node, target)(**taken)
    except ValueError as error:
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from error


def _instantiate(node: DictConfig, target: Any) -> Any:
    """The target with the node's keys as arguments; a node of plain values needs nothing of Hydra's, which is slow."""
    keys: Any = OmegaConf.to_container(node, resolve=True)
    if configs.is_plain(keys):
        return partial(target, **{key: value for key, value in keys.items() if key != "_target_"})
    from hydra.utils import instantiate

    return instantiate(node, _convert_="all", _partial_=True)


OWN_PACKAGES = ("model", "optimizer", "schedule", "loss", "reg", "augment", "views", "data", "model.init")
OWN_OTHERS = (
    "runner.engine.settings.Settings",
    "runner.engine.settings.Objective",
    "runner.engine.average.EMA",
    "runner.engine.average.Lookahead",
    "runner.watch.settings.LogSettings",
)


def check_trusted(cfg: DictConfig) -> None:
    """Refuse a stored config that would build anything but our own classes and torch's modules and optimizers.

    Raises:
        UserError: a `_target_` is not on the list, or the config is not plain data.
    """
    for key, value in configs.flat(OmegaConf.to_container(cfg, resolve=False)).items():
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{key}: a stored config holds plain values, not {value!r}; restore it from a copy")
        if key.rpartition(".")[2] == "_target_" and not _is_trusted(value):
            raise UserError(f"{key}: {value} is not one of runner's own classes; pass --trust if you trust this folder")


def _is_trusted(dotted: Any) -> bool:
    if not isinstance(dotted, str):
        return False
    package, _, name = dotted.rpartition(".")
    if dotted in OWN_OTHERS:
        return True
    if package in {f"runner.{own}" for own in OWN_PACKAGES}:
        if name.startswith("_"):
            return False
        found = configs.resolve(dotted, "_target_")
        return getattr(found, "__module__", "").startswith(package.removesuffix(".init"))
    if dotted.startswith(("torch.nn.", "torch.optim.", "torchvision.")):
        found = configs.resolve(dotted, "_target_")
        home = getattr(found, "__module__", "").partition(".")[0]
        return inspect.isclass(found) and issubclass(found, nn.Module | Optimizer) and home in ("torch", "torchvision")
    return False
