"""What a config that somebody else may have written may build. Decided by names, before anything is imported."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.config_folders import folder
from runner.errors import UserError

TARGET = re.compile(r"^\s*_target_: (\S+)", re.MULTILINE)
ROOT_TARGET = re.compile(r"^(\w+):.*\n\s+_target_: (\S+)", re.MULTILINE)
# In these modules every capitalized name is a class of layers, optimizers or tensors.
TORCH_CLASS = re.compile(r"torch\.(nn|optim)\.[A-Z]\w*|torchvision\.(ops|transforms\.v2)\.[A-Z]\w*")


def check_trusted(cfg: DictConfig, resolve: bool = False) -> None:
    """Refuse a stored config that would build anything but its group's own options and torch's classes, at any depth.

    `resolve`: hold what its interpolations give to that; else there may be none, for a frozen config has none.

    Raises:
        UserError: a `_target_` is not on the list, or the config is not plain data.
    """
    for group, value in OmegaConf.to_container(cfg, resolve=resolve).items():  # type: ignore[union-attr]
        for key, leaf in _leaves(str(group), value):
            if isinstance(leaf, str) and "${" in leaf:
                raise UserError(f"{key}: a stored config holds plain values, not {leaf!r}; restore it from a copy")
            if key.endswith("._target_") and not _is_trusted(str(group), leaf):
                raise UserError(
                    f"{key}: {leaf} is not one of runner's own classes; pass --trust if you trust this folder"
                )


def trust_flag(cfg: DictConfig) -> str:
    """What a command that goes on with a stored config must be given: ` --trust` where it builds foreign classes."""
    try:
        check_trusted(cfg)
    except UserError:
        return " --trust"
    return ""


@cache
def own_targets() -> Mapping[str, set[str]]:
    """Every class and function that the options of a group name, by group."""
    found = defaultdict(set)
    for path in folder().rglob("*.yaml"):
        text = path.read_text()
        if path.parent == folder():
            for key, target in ROOT_TARGET.findall(text):
                found[key].add(target)
        else:
            found[path.relative_to(folder()).parts[0]].update(TARGET.findall(text))
    return dict(found)


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings and lists, and every mapping that has the place of a `_target_`, by its path."""
    if key.endswith("._target_") or not isinstance(value, dict | list):
        yield key, value
        return
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(f"{key}.{name}", item)


def _is_trusted(group: str, target: Any) -> bool:
    if not isinstance(target, str):
        return False
    return target in own_targets().get(group, ()) or TORCH_CLASS.fullmatch(target) is not None
