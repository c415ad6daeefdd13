"""Configs on the disk: the YAML that OmegaConf reads and writes, by libyaml where it is there, for its speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from runner.errors import UserError

CONFIG, OVERRIDES = "config.yaml", "overrides.yaml"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Tells numbers from text as OmegaConf does: 1e-3 is a number."""

    yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts text into quotes where the loader would take it for something else."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_config(path: Path, config: DictConfig, overrides: Sequence[str]) -> None:
    """Freeze a config, resolved, and what was said for it into a folder."""
    replace_file(path / CONFIG, _dump(OmegaConf.to_container(config, resolve=True)))
    replace_file(path / OVERRIDES, _dump(list(overrides)))


def read_config(path: Path) -> DictConfig:
    """The config of a folder.

    Raises:
        UserError: it cannot be read.
    """
    try:
        content = yaml.load((path / CONFIG).read_text(), Loader=Loader)
        if not isinstance(content, dict):
            raise ValueError("not a config")
        config = OmegaConf.create(content)
    except Exception as error:  # YAML and OmegaConf raise many kinds
        reason = str(error).splitlines()[0]
        raise UserError(f"{path / CONFIG}: cannot be read ({reason}); restore it from a copy") from None
    return config


def read_overrides(path: Path) -> list[str]:
    """What was said for the config of a folder."""
    return [str(word) for word in yaml.load((path / OVERRIDES).read_text(), Loader=Loader)]


def replace_file(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _dump(content: Any) -> str:
    text: str = yaml.dump(content, Dumper=Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True)
    return text
