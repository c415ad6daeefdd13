"""What a stored config may build."""

from __future__ import annotations

import inspect
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from runner import config as configs
from runner.errors import UserError

OWN_PACKAGES = ("model", "optimizer", "schedule", "loss", "reg", "augment", "tta", "data", "init", "average")
OWN_OTHERS = (
    "runner.engine.settings.Settings",
    "runner.engine.settings.Objective",
    "runner.log.settings.LogSettings",
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
        return getattr(found, "__module__", "").startswith(package)
    if dotted.startswith(("torch.nn.", "torch.optim.", "torchvision.")):
        found = configs.resolve(dotted, "_target_")
        home = getattr(found, "__module__", "").partition(".")[0]
        return inspect.isclass(found) and issubclass(found, nn.Module | Optimizer) and home in ("torch", "torchvision")
    return False
