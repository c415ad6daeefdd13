"""Each part of a training, from its group of the config. The only place that instantiates anything a config names."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from runner import config as configs
from runner import renamed
from runner.augment import Augmentation, Pipeline
from runner.data import Batches, Data, Preprocess
from runner.data.batches import Sizes
from runner.data.described import Described
from runner.data.loader import InMemoryLoader, WorkerLoader
from runner.data.preprocess import blank_like, look_at
from runner.data.sampling import Order
from runner.data.source import Centers, Images, Source
from runner.engine.device import num_sweep_workers
from runner.engine.settings import Settings
from runner.errors import UserError
from runner.log.settings import LogSettings
from runner.machine import num_cores
from runner.objective import Objective
from runner.optimizer.lr_scaling import scaled_lr
from runner.optimizer.param_groups import LR_SCALE, START, by_transfer
from runner.pictures import View
from runner.reg import Regularizer
from runner.schedule import Curve, Schedule
from runner.transfer import Pool, StageFeatures, Transfer, up_to
from runner.tta import TTA

OBSERVERS = "observers"
MOST_LOADING_WORKERS = 16  # above which processes cost more memory than decoding gains
TRANSFER_MARKS = ((LR_SCALE, 1.0), (START, 0))


def data(cfg: DictConfig) -> Data:
    """The data set; nothing is read yet."""
    dataset: Data = instantiate(cfg.data, "data")
    return dataset


def described(cfg: DictConfig, record: Mapping[str, Any]) -> Described:
    """The data set of a stored run as its record notes it; by its images, where the record does not."""
    classes, shape = record.get("classes"), record.get("image_shape")
    if not classes or not shape:
        dataset = data(cfg)
        classes, shape = dataset.class_names, dataset.image_shape
    C, H, W = shape
    resize = cfg.data.get("resize", "crop")
    scaled = cfg.data.get("image_size") is not None
    return Described(names=classes, shape=(C, H, W), preprocess=cfg.data.preprocess, resize=resize, scaled=scaled)


def model(
    cfg: DictConfig, dataset: Data | None = None, regularizers_: Sequence[Regularizer] | None = None
) -> nn.Module:
    """The network for the data's images and classes, initialized, with the regularizers attached; on the CPU.

    One that takes weights from training images has yet to see some: see `init_from_data`.
    """
    dataset = dataset or data(cfg)
    C, S, _ = dataset.image_shape
    num_classes = len(dataset.class_names)
    network: nn.Module = instantiate(cfg.model, "model", in_channels=C, image_size=S, num_classes=num_classes)
    stage = OmegaConf.select(cfg, "transfer.stage", default=None)
    if stage is not None:
        network = at_stage(network, str(stage), (C, S, S), num_classes)
    instantiate(cfg.init, "init")(network)
    for regularizer in regularizers(cfg) if regularizers_ is None else regularizers_:
        regularizer.attach(network)
    return network


def at_stage(network: nn.Module, stage: str, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """A linear classifier on the features of one stage of a network, averaged over their places."""
    trunk = up_to(network, stage)
    with torch.no_grad():
        features = Pool()(trunk.eval()(torch.zeros(2, *image_shape)))
    if features.ndim != 2:
        raise UserError(f"transfer.stage: '{stage}' gives no features of an image, but {list(features.shape)}")
    return StageFeatures(trunk.train(), features.shape[1], num_classes).train()


def transfer(cfg: DictConfig) -> Transfer | None:
    """What learns of a network with trained weights; None for all of it."""
    chosen: Transfer | None = instantiate(cfg.transfer, "transfer") if cfg.get("transfer") else None
    return chosen


def init_from_data(network: nn.Module, train: Batches) -> None:
    """Show preprocessed training images, without augmentation, to a network that has the method `init_from_data`.

    It is called with `sample`; `sample(n)` iterates over chunks [b, C, S, S] of at most n images. What it does belongs
    to its weights, so a network that is loaded needs no images.
    """
    if hasattr(network, "fit_to_images"):
        raise UserError(
            f"model: fit_to_images of {type(network).__name__}{renamed.hint(renamed.NAMES, 'fit_to_images')}"
        )
    initialize = getattr(network, "init_from_data", None)
    if initialize is not None:
        initialize(train.sample)


def optimizer(cfg: DictConfig, network: nn.Module) -> Optimizer:
    """The optimizer of the network's trainable parameters, on the device they are on."""
    if configs.has_auto_lr(cfg):
        raise UserError("optimizer.lr: auto is found by runner train alone; give a number, say what runner check finds")
    node: Any = OmegaConf.to_container(cfg.optimizer, resolve=True)
    if node.get("scale_lr"):
        images_per_step = cfg.data.batch_size * cfg.engine.accumulate_steps
        node["lr"] = scaled_lr(node["lr"], node["_target_"].rpartition(".")[2], images_per_step)
    trained: Any = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not all(getattr(parameter, mark, none) == none for parameter in trained for mark, none in TRANSFER_MARKS):
        trained = by_transfer({"params": trained, "lr": node.get("lr", 1.0)})
    built: Optimizer = instantiate(node, "optimizer", params=trained, network=network)
    return built


def schedule(
    cfg: DictConfig, optimizer: Optimizer, steps_per_epoch: int, objective: Objective | None = None
) -> Schedule:
    """The learning-rate schedule, to be stepped once per optimizer step."""
    objective = objective or instantiate(cfg.objective, "objective")
    total_steps = cfg.engine.epochs * steps_per_epoch
    if cfg.engine.max_steps is not None:
        total_steps = min(total_steps, cfg.engine.max_steps)
    lengths = {"steps_per_epoch": steps_per_epoch, "total_steps": total_steps}
    curve: Curve = instantiate(cfg.schedule, "schedule", **lengths, mode=objective.mode)
    return Schedule(optimizer, curve)


def loss(cfg: DictConfig, dataset: Data | None = None) -> nn.Module:
    """The loss: mean over a batch of scores [B, K] and labels [B] or class probabilities [B, K].

    One that weights classes needs to know the training split of the data set, which is read then.
    """
    given = {}
    if cfg.loss.get("class_weights", "none") != "none":
        dataset = dataset or data(cfg)
        labels = dataset.source("train").labels
        given["class_counts"] = torch.bincount(labels, minlength=len(dataset.class_names)).tolist()
    criterion: nn.Module = instantiate(cfg.loss, "loss", **given)
    return criterion


def tta(cfg: DictConfig, dataset: Data | None = None) -> TTA:
    """The test-time augmentation: a network and images [B, C, S, S] to scores [B, K].

    With a data set of larger images it cuts from those, which `view` tells; see `eval_view`.
    """
    augmentation: TTA = instantiate(cfg.tta, "tta")
    if dataset is not None and eval_view(cfg, dataset) is not None:
        augmentation.size = dataset.image_shape[-1]
    return augmentation


def eval_view(cfg: DictConfig, dataset: Data) -> View | None:
    """The larger images that the test-time augmentation cuts from; None where it takes them as they are."""
    scale = getattr(tta(cfg), "picture_scale", 1.0)
    size = dataset.image_shape[-1]
    return View(round(size * scale)) if dataset.has_larger and round(size * scale) > size else None


def train_view(cfg: DictConfig, dataset: Data) -> View | None:
    """The larger pictures that the augmentation cuts from; None where it takes the images as they are."""
    scale = augment(cfg).picture_scale
    size = dataset.image_shape[-1]
    return View(max(size, round(size * scale)), whole=True) if dataset.has_larger and scale else None


def images_of(dataset: Data, split: Any, device: torch.device, view: View | None) -> Source:
    """The images of a split for statistics: the squares in the middle, where whole pictures are kept."""
    source = dataset.loaded(split, device, view)
    return Centers(source, dataset.image_shape[-1]) if view is not None and view.whole else source


def regularizers(cfg: DictConfig) -> list[Regularizer]:
    """The regularizers, in the order in which they were chosen."""
    return [instantiate(node, f"reg.{name}") for name, node in cfg.reg.items()]


def augment(cfg: DictConfig, source: Source | None = None) -> Pipeline:
    """The augmentations, in the order in which they were chosen; ready for the training split where it is given."""
    members: list[Augmentation] = [instantiate(node, f"augment.{name}") for name, node in cfg.augment.items()]
    pipeline = Pipeline(members)
    if source is not None:
        pipeline.prepare(source.image_shape, lambda: look_at(source))
    return pipeline


def average(cfg: DictConfig, network: nn.Module, schedule: Schedule) -> Any:
    """The average of the network's weights over the run, or None. The schedule says how far the run is."""
    return instantiate(cfg.average, "average", network=network, schedule=schedule) if cfg.average else None


def log(cfg: DictConfig) -> LogSettings:
    """The settings of the logs."""
    keys: Any = OmegaConf.to_container(cfg.log, resolve=True)
    settings: LogSettings = instantiate({key: value for key, value in keys.items() if key != OBSERVERS}, "log")
    return settings


def observers(cfg: DictConfig, folder: Path, hparams: Mapping[str, Any], trial: int = 0) -> list[Any]:
    """The observers of a run that its config names. See `runner.engine.observer`.

    Raises:
        UserError: one lacks a package, or cannot reach what it writes to.
    """
    given = {"folder": folder, "hparams": hparams, "trial": trial}
    return [instantiate(node, f"log.{OBSERVERS}.{place}", **given) for place, node in enumerate(cfg.log[OBSERVERS])]


def batches(
    dataset: Data,
    split: Any,
    preprocess: Preprocess,
    device: torch.device,
    settings: Settings,
    augment: Pipeline | None = None,
    seed: int | None = None,
    view: View | None = None,
) -> Batches:
    """The batches of a split, on the device; with a seed, those that train. `view`: of larger images."""
    if isinstance(dataset.batch_size, str):
        raise UserError("data.batch_size: auto is found by runner train alone; give a number, say what it has found")
    source = dataset.loaded(split, device, view)
    loader: InMemoryLoader | WorkerLoader
    if isinstance(source, Images) and dataset.stays(split, device, view):
        loader = InMemoryLoader(source, device)
    else:
        loader = WorkerLoader(source, device, num_loading_workers(dataset.num_workers))
    return Batches(
        loader,
        len(source) if seed is None else Order(source.labels, getattr(source, "weights", None), dataset.balance),
        dataset.batch_size * settings.accumulate_steps if seed is not None else dataset.eval_batch_size,
        preprocess,
        augment=augment or None,
        seed=seed,
        drop_last=dataset.drop_last and seed is not None,
        limit=settings.limit_batches,
        num_parts=settings.accumulate_steps,
        cut_to=dataset.image_shape[-1] if view is not None and view.whole else None,
        sizes=_sizes(dataset, settings) if seed is not None else None,
    )


def num_loading_workers(setting: int | Literal["auto"]) -> int:
    """Of `data.num_workers`: auto is this process's share of the cores, since a GPU waits for decoding."""
    if setting != "auto":
        return setting
    return max(1, min(num_cores() // num_sweep_workers(), MOST_LOADING_WORKERS))


def _sizes(dataset: Data, settings: Settings) -> Sizes | None:
    """To which sides the training images are scaled, epoch by epoch.

    Raises:
        UserError: they do not end with the size of the images, or one is larger.
    """
    if not dataset.progressive_sizes:
        return None
    sides, size = list(dataset.progressive_sizes), dataset.image_shape[-1]
    if sides[-1] != size or max(sides) > size:
        raise UserError(
            f"data.progressive_sizes: {sides} must rise to the size of the images, which is {size}; end with {size}, "
            f"or set data.image_size={max(sides)} where the data set has that key"
        )
    return Sizes(sides, settings.epochs)


def check_sizes(network: nn.Module, dataset: Data, device: torch.device) -> None:
    """Hold a network to the sizes that its images will have.

    Raises:
        UserError: it takes images of one size alone.
    """
    C, S, _ = dataset.image_shape
    expected, was_training = (2, len(dataset.class_names)), network.training
    network.eval()
    for size in dict.fromkeys(dataset.progressive_sizes or ()):
        try:
            with torch.no_grad():
                fits = size == S or network(torch.zeros(2, C, size, size, device=device)).shape == expected
        except (RuntimeError, ValueError, IndexError, AssertionError):
            fits = False
        if not fits:
            raise UserError(
                f"data.progressive_sizes: the network cannot take images of {size} x {size} where it was built for "
                f"{S} x {S}; choose one that pools globally, such as model=resnet, larger sizes, or null"
            )
    network.train(was_training)


def stored_network(
    cfg: DictConfig, dataset: Data, weights: Mapping[str, Any], preprocessing: Mapping[str, Any]
) -> tuple[nn.Module, Preprocess]:
    """The network with stored weights, and its stored preprocessing; on the CPU.

    Raises:
        UserError: they do not fit the config.
    """
    network = model(cfg, dataset)
    preprocess = blank_like(preprocessing, dataset.image_shape)
    try:
        network.load_state_dict(weights)
        preprocess.load_state_dict(preprocessing)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"model: the checkpoint does not fit the config ({detail})") from None
    return network.eval(), preprocess


def instantiate(node: DictConfig | dict[str, Any], key: str, **given: Any) -> Any:
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
    keys: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if not takes_any:
        keys = {
            name: value
            for name, value in keys.items()
            if name in parameters or not configs.is_without_effect(f"{key}.{name}", value)
        }
    try:
        return _bind(keys, target)(**taken)
    except ValueError as error:
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from error


def _bind(keys: dict[str, Any], target: Any) -> Any:
    """The target with a node's keys as arguments; a node of plain values needs nothing of Hydra's, which is slow."""
    if configs.is_plain(keys):
        return partial(target, **{key: value for key, value in keys.items() if key != "_target_"})
    from hydra.utils import instantiate

    configs.resolve_nested(keys, "config")
    return instantiate(keys, _convert_="all", _partial_=True)
