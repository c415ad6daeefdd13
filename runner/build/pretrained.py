"""Trained weights for a network that is built: of a file, of torchvision or timm by name, or of a finished run."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from runner import config as configs
from runner.average import scored_weights
from runner.build import parts
from runner.data import Data, Preprocess
from runner.engine.checkpoint_files import BEST, read
from runner.errors import UserError, did_you_mean, reason
from runner.optimizer.param_groups import START
from runner.stages import stage
from runner.store import RunFolder
from runner.transfer.weights import KEY, Weights, digest_of, read_weights

SOURCE = "transfer.source"
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# torchvision's networks of these names turn its normalization into this one themselves, where they have its weights.
INCEPTION = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
WHOLE = "runner.transfer.Whole"  # of transfer=none
SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


class NoWeights(UserError):
    """The weights are known, and not here."""


def has_weights(cfg: DictConfig) -> bool:
    """Whether a config names trained weights."""
    return _name(cfg) is not None or bool(cfg.model.get("pretrained")) or _source(cfg) is not None


def transfers(cfg: DictConfig) -> bool:
    """Whether a config chooses what learns of trained weights."""
    return (cfg.get("transfer") or {}).get("_target_", WHOLE) != WHOLE


def weights_of(cfg: DictConfig, dataset: Data) -> Weights | None:
    """The trained weights that a config names; None where it names none.

    Raises:
        NoWeights: they are not here, and cannot be downloaded.
        UserError: there are none of that name, or they are of other images.
    """
    source, name = _source(cfg), _name(cfg)
    named = [key for key, given in ((SOURCE, source), (KEY, name)) if given is not None]
    if cfg.model.get("pretrained"):
        named.append("model.pretrained")
    if len(named) > 1:
        raise UserError(f"{named[0]} and {named[1]}: both name trained weights; set one of them to null")
    if not named:
        if transfers(cfg):
            raise UserError(
                "transfer: needs trained weights; set model.weights to a file or DEFAULT, or transfer.source to a run"
            )
        return None
    try:
        return _named(cfg, dataset)
    except NoWeights:
        if OmegaConf.select(cfg, "transfer.missing", default="error") == "scratch":
            return None
        raise


def settle(cfg: DictConfig, dataset: Data) -> str | None:
    """Where the weights of a config cannot be had and that is allowed, make it one of a new network; why, or None."""
    if not has_weights(cfg) or OmegaConf.select(cfg, "transfer.missing", default="error") != "scratch":
        return None
    try:
        _named(cfg, dataset)
    except NoWeights as error:
        cfg.transfer = {}
        if "weights" in cfg.model:
            cfg.model.weights = None
        if "pretrained" in cfg.model:
            cfg.model.pretrained = False
        return f"training from scratch, since the trained weights cannot be had: {error}"
    return None


def _named(cfg: DictConfig, dataset: Data) -> Weights:
    """The weights that a config names; see `weights_of`."""
    source, name = _source(cfg), _name(cfg)
    if source is not None:
        return _of_run(cfg, Path(source), dataset)
    if name is None:
        return _of_timm(cfg, dataset)
    if _is_file(name):
        if not Path(name).expanduser().exists():
            raise NoWeights(f"{KEY}: {name}: there is no such file")
        return _with_known_preprocess(cfg, read_weights(Path(name).expanduser()), dataset)
    return _of_torchvision(cfg, name, dataset)


def preprocess_of(weights: Weights, image_shape: tuple[int, int, int]) -> Preprocess | None:
    """The preprocessing that goes with weights; None where nothing says which.

    Raises:
        UserError: it is for images of another shape.
    """
    if weights.preprocess is None:
        return None
    shift, scale = weights.preprocess["shift"].float(), weights.preprocess["scale"].float()
    if shift.shape[0] != image_shape[0]:
        raise UserError(
            f"{KEY}: {weights.about} was trained on images of {shift.shape[0]} channels, and these have "
            f"{image_shape[0]}; set data.in_channels={shift.shape[0]} where the data set has that key"
        )
    if shift.shape[-1] not in (1, image_shape[-1]):
        raise UserError(
            f"{KEY}: {weights.about} was trained on images of {shift.shape[-1]} pixels less their mean image, and "
            f"these have {image_shape[-1]}; set data.image_size={shift.shape[-1]} where the data set has that key"
        )
    return Preprocess(shift.clone(), scale.clone())


def of_run(cfg: DictConfig) -> bool:
    """Whether the weights are those of a run."""
    return _source(cfg) is not None


def _source(cfg: DictConfig) -> str | None:
    source = OmegaConf.select(cfg, SOURCE, default=None)
    return None if source is None else str(source)  # a number is one, too


def _name(cfg: DictConfig) -> str | None:
    """What `model.weights` names; None where a class of the user's takes an argument of that name."""
    name = cfg.model.get("weights")
    takes = "weights" in configs.parameters_of(configs.resolve(cfg.model["_target_"], "model._target_"))
    return None if name is None or takes else str(name)


def _is_file(name: str) -> bool:
    return "/" in name or name.endswith(SUFFIXES) or Path(name).is_file()


def _of_run(cfg: DictConfig, path: Path, dataset: Data) -> Weights:
    configs.settle(cfg)
    path = Path(cfg.transfer.source)
    try:
        folder = RunFolder.open(path)
        own = folder.config
        configs.check_trusted(own)
        configs.check(own)
        file = folder.checkpoints / BEST
        saved = read(file)["state"]
        described = parts.described(own, folder.record)
    except UserError as error:
        raise UserError(f"{SOURCE}: {path}: {error}") from None
    if folder.record["status"] != "finished":
        raise UserError(f"{SOURCE}: {path} is {folder.record['status']}; go on with it first: runner resume {path}")
    _check_same_network(cfg, own, path, folder.record.get("choices", {}))
    if described.image_shape[0] != dataset.image_shape[0]:
        raise UserError(
            f"{SOURCE}: {path} was trained on images of {described.image_shape[0]} channels, and these have "
            f"{dataset.image_shape[0]}; set data.in_channels={described.image_shape[0]} where the data set has that key"
        )
    kind = "averaged weights" if saved["average"] else "best weights"
    return Weights(
        tensors=scored_weights(saved),
        about=f"{kind} of {path}",
        digest=digest_of(file.read_bytes()),
        classes=described.class_names,
        preprocess=saved["preprocess"],
        prepared=f"data.preprocess={described.preprocess} of that run",
        size=described.image_shape[-1],
        strict=True,
    )


def _check_same_network(cfg: DictConfig, own: DictConfig, path: Path, choices: Mapping[str, str]) -> None:
    mine, theirs = (
        {key: value for key, value in configs.flatten(one.model).items() if key not in ("weights", "pretrained")}
        for one in (cfg, own)
    )
    if mine["_target_"] != theirs["_target_"]:
        word = choices.get("model", theirs["_target_"])
        raise UserError(f"{SOURCE}: {path} trained another network; add model={word}, with its keys as they were there")
    for key in sorted({*mine, *theirs}):
        if mine.get(key) != theirs.get(key):
            raise UserError(
                f"{SOURCE}: {path} was trained with model.{key}={theirs.get(key)}, not {mine.get(key)}; set it so"
            )


def _torchvision_name(cfg: DictConfig) -> str | None:
    """The word by which torchvision knows a network of ours; None for one that it has not."""
    model = cfg.model
    known = {
        "runner.model.alexnet": "alexnet",
        "runner.model.vgg": f"vgg{model.get('depth')}{'_bn' if model.get('norm') == 'batch' else ''}",
        "runner.model.googlenet": "googlenet",
        "runner.model.resnet": f"resnet{model.get('depth')}",
        "runner.model.inception_v3": "inception_v3",
        "runner.model.torchvision": str(model.get("name")),
    }
    return known.get(str(model["_target_"]))


def _of_torchvision(cfg: DictConfig, word: str, dataset: Data) -> Weights:
    import torchvision.models

    name = _torchvision_name(cfg)
    if name is None or name not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            f"{KEY}: torchvision has no weights of this network; name a file, or choose model=resnet, vgg, alexnet, "
            "googlenet, inception_v3 or torchvision"
        )
    known = torchvision.models.get_model_weights(name)
    if word not in known.__members__:
        raise UserError(f"{KEY}: {name} has no weights '{word}'{did_you_mean(word, known.__members__)}")
    if dataset.image_shape[0] != 3:
        raise UserError(
            f"{KEY}: trained on images of 3 channels, and these have {dataset.image_shape[0]}; set data.in_channels=3 "
            "where the data set has that key"
        )
    weights: Any = known[word]
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        with stage(f"getting {file.name}"), redirect_stderr(io.StringIO()):  # torch has a line of its own
            tensors = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "reason", None) or reason(error)
        raise NoWeights(
            f"{KEY}: cannot download {file.name} of {name} ({why}); put the file into {file.parent}, or name "
            f"a copy: model.weights=FILE"
        ) from error
    transforms = weights.transforms()
    return Weights(
        tensors=tensors,
        about=f"{word} of torchvision's {name}",
        digest=file.stem.rpartition("-")[2],
        classes=weights.meta["categories"],
        preprocess=_normalization(_for(name, {"mean": transforms.mean, "std": transforms.std})),
        prepared="torchvision's for these weights",
        size=transforms.crop_size[0],
    )


def _of_timm(cfg: DictConfig, dataset: Data) -> Weights:
    from runner.model.timm import trained, where

    name = str(cfg.model.name)
    source = where(name)
    if not source:
        raise UserError(
            f"model.pretrained: timm has no weights of {name}; set model.pretrained=false, or model.weights"
        )
    if dataset.image_shape[0] != 3:
        raise UserError(
            f"model.pretrained: trained on images of 3 channels, and these have {dataset.image_shape[0]}; set "
            "data.in_channels=3 where the data set has that key"
        )
    try:
        with stage(f"getting the weights of {name}"), redirect_stderr(io.StringIO()):
            found = trained(name)
    except UserError:
        raise
    except Exception as error:  # of the package that downloads, which has many of its own
        raise NoWeights(
            f"model.pretrained: cannot download the weights of {name} ({reason(error)[:100]}); get "
            f"model.safetensors of {source} where there is a network, and name the copy: model.weights=FILE"
        ) from error
    return Weights(
        tensors=found.tensors,
        about=f"timm's weights of {cfg.model.name}",
        digest=digest_of(b"".join(tensor.numpy().tobytes() for tensor in list(found.tensors.values())[:8])),
        preprocess=_normalization({"mean": found.mean, "std": found.std}),
        prepared="timm's data config of these weights",
        size=found.size,
    )


def _with_known_preprocess(cfg: DictConfig, weights: Weights, dataset: Data) -> Weights:
    """A file's weights with the preprocessing of torchvision's or timm's networks, where the file holds none."""
    from dataclasses import replace

    if weights.preprocess is not None or dataset.image_shape[0] != 3:
        return weights
    name = _torchvision_name(cfg)
    if str(cfg.model["_target_"]) == "runner.model.timm":
        from runner.model.timm import data_config

        found = data_config(cfg.model.name)
        mean_and_std = {"mean": found["mean"], "std": found["std"]}
        given = _normalization(mean_and_std)
        return replace(weights, preprocess=given, prepared="timm's data config of this network")
    if name is not None and any(len(tensor) == 1000 for tensor in list(weights.tensors.values())[-2:] if tensor.ndim):
        given = _normalization(_for(name, IMAGENET))
        return replace(weights, preprocess=given, prepared="ImageNet's, since the file has 1000 classes")
    return weights


def _for(name: str, mean_and_std: Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    return INCEPTION if name in ("googlenet", "inception_v3") else mean_and_std


def _normalization(mean_and_std: Mapping[str, Sequence[float]]) -> dict[str, Tensor]:
    mean, std = (torch.tensor(mean_and_std[key], dtype=torch.float64)[:, None, None] for key in ("mean", "std"))
    return {"shift": mean.float(), "scale": (1 / std).float()}


def lines(weights: Weights, fitted: Any, size: int) -> list[tuple[str, str]]:
    """What the header says of weights: what they are, what did not fit, and how images are prepared for them."""
    head = "a new head" if fitted.head_rows == 0 else "the whole head kept" if weights.classes is None else None
    head = head or f"{fitted.head_rows} of {fitted.num_classes} rows of the head kept, by class name"
    text = [f"{weights.about}: {fitted.num_loaded} tensors set, {head}"]
    others = [name for name in fitted.new if not any(one.startswith(f"{name} (") for one in fitted.misfits)]
    if fitted.misfits:
        text.append(f"left out, of another shape: {_listed(fitted.misfits)}")
    if others:
        text.append(f"new, since the file lacks them: {_listed(others)}")
    if fitted.unused:
        text.append(f"not used: {_listed(fitted.unused)}")
    if weights.size is not None and weights.size != size:
        text.append(f"trained on images of {weights.size} pixels, and these have {size}")
    prepared = weights.prepared or "nothing says how their images were prepared, so data.preprocess of these images"
    return [("weights", "; ".join(text)), ("input", f"preprocessing: {prepared}")]


def _listed(names: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def show_blocks(network: nn.Module) -> str:
    """How many parameters learn, in words."""
    sizes = {parameter: parameter.numel() for parameter in network.parameters()}
    learning = sum(size for parameter, size in sizes.items() if parameter.requires_grad)
    first = sum(
        size for parameter, size in sizes.items() if parameter.requires_grad and not getattr(parameter, START, 0)
    )
    text = f"{learning:,} of {sum(sizes.values()):,} parameters learn"
    return text if first == learning else f"{text}, of which {first:,} from the start"
