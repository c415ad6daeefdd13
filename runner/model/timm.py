"""Every classifier of timm, by its name there."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from runner.errors import UserError, did_you_mean, reason

KEY = "model.name"


@dataclass(frozen=True)
class Trained:
    """timm's trained weights of a network, and the mean, deviation and side of the images that they are for."""

    tensors: Mapping[str, Tensor]
    mean: Sequence[float]
    std: Sequence[float]
    size: int


def timm(
    in_channels: int,
    image_size: int,
    num_classes: int,
    name: str = "resnet18",
    pretrained: bool = False,
) -> nn.Module:
    """The classifier `name` of timm, new. With `pretrained`, a training starts from timm's weights (`trained`).

    Networks that are made for one size of images are made for this one.

    Raises:
        UserError: timm is not installed, has no such network, or the images do not suit it.
    """
    options: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels}
    try:
        network = _create(name, **options, img_size=image_size)
    except TypeError:  # most networks take images of any size, and no such argument
        network = _create(name, **options)
    return network


def trained(name: str) -> Trained:
    """The weights of timm's network of that name, from its cache or downloaded.

    Raises:
        UserError: timm has no weights of it.
        OSError: they cannot be downloaded.
    """
    settings = data_config(name)
    network = _create(name, pretrained=True)
    return Trained(network.state_dict(), settings["mean"], settings["std"], settings["size"])


def data_config(name: str) -> dict[str, Any]:
    """How images are prepared for that network's weights: mean, std, and size in pixels."""
    _library()
    found = importlib.import_module("timm.data").resolve_data_config(
        pretrained_cfg=importlib.import_module("timm.models").get_pretrained_cfg(name).to_dict()
    )
    return {"mean": found["mean"], "std": found["std"], "size": found["input_size"][-1]}


def where(name: str) -> str:
    """Where timm has the weights of that network from, in words; empty where it has none."""
    _library()
    settings: Any = importlib.import_module("timm.models").get_pretrained_cfg(name)
    return str((settings and (settings.hf_hub_id or settings.url)) or "")


def _library() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise UserError("model: timm is not installed: pip install 'runner[timm]'") from None


def _create(name: str, **options: Any) -> nn.Module:
    library = _library()
    if not library.is_model(name):
        raise UserError(f"{KEY}: timm has no network '{name}'{did_you_mean(name, library.list_models())}")
    try:
        network: nn.Module = library.create_model(name, **options)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"{KEY}: {name} cannot be made for these images ({reason(error)[:120]})") from error
    return network
