"""What a stored config may build."""

import inspect
import re
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from runner import config as configs
from runner.errors import UserError

TARGET = re.compile(r"^\s*_target_: (\S+)", re.MULTILINE)


def check_trusted(cfg: DictConfig) -> None:
    """Refuse a stored config that would build anything but our own options and torch's modules and optimizers.

    Raises:
        UserError: a `_target_` is not on the list, or the config is not plain data.
    """
    for key, value in configs.flatten(OmegaConf.to_container(cfg, resolve=False)).items():
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{key}: a stored config holds plain values, not {value!r}; restore it from a copy")
        if key.rpartition(".")[2] == "_target_" and not _is_trusted(value):
            raise UserError(f"{key}: {value} is not one of runner's own classes; pass --trust if you trust this folder")


@cache
def own_targets() -> frozenset[str]:
    """Every class and function that our own configs name."""
    paths = configs.folder().rglob("*.yaml")
    return frozenset(target for path in paths for target in TARGET.findall(path.read_text()))


def _is_trusted(dotted: Any) -> bool:
    if not isinstance(dotted, str):
        return False
    if dotted in own_targets():
        return True
    if dotted.startswith(("torch.nn.", "torch.optim.", "torchvision.")):
        found = configs.resolve(dotted, "_target_")
        home = getattr(found, "__module__", "").partition(".")[0]
        return inspect.isclass(found) and issubclass(found, nn.Module | Optimizer) and home in ("torch", "torchvision")
    return False
