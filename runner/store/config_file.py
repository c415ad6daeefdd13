"""Configs on the disk: `config.yaml` for people, and the same values in `config.json`, which is read in a tenth of the
time. Where somebody has changed the YAML, it counts.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.errors import UserError, reason
from runner.files import parse_json, replace_file
from runner.store.flat import flatten, unflatten

CONFIG, FLAT_CONFIG, OVERRIDES = "config.yaml", "config.json", "overrides.yaml"
FORMAT = 2
MAX_ALIASES = 16  # which make at most 256 of one
# OmegaConf's numbers, of which YAML 1.1 takes those without a point, such as 1e-3, for text.
FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+")


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Tells numbers from text as OmegaConf does, to whom a date is text."""

    yaml_implicit_resolvers: ClassVar = {
        letter: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(":timestamp")]
        for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts text into quotes where the loader would take it for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind in (Loader, Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def write_config(path: Path, config: DictConfig | dict[str, Any], overrides: Sequence[str]) -> None:
    """Freeze a config, resolved, and what was said for it into a folder."""
    content: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    text = _dump(content)
    flat = {"format": FORMAT, "yaml_sha256": _digest(text.encode()), "values": flatten(content)}
    replace_file(path / CONFIG, text)
    replace_file(path / FLAT_CONFIG, json.dumps(flat) + "\n")
    replace_file(path / OVERRIDES, _dump(list(overrides)))


def read_config(path: Path) -> DictConfig:
    """The config of a folder.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return OmegaConf.create(unflatten(read_leaves(path)))
    except OmegaConfBaseException as error:
        raise UserError(
            f"{path / CONFIG}: cannot be read ({str(error).splitlines()[0]}); restore it from a copy"
        ) from None


def read_leaves(path: Path) -> dict[str, Any]:
    """The leaves of a folder's config by dotted key.

    Raises:
        UserError: it cannot be read.
    """
    try:
        text = (path / CONFIG).read_bytes()
        known = _flat(path, text)
        if known is not None:
            return known
        content = _load(text)
        if not isinstance(content, dict):
            raise ValueError("not a config")
        return flatten(content)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path / CONFIG}: cannot be read ({reason(error)}); restore it from a copy") from None


def _load(text: bytes) -> Any:
    """YAML with few aliases: many, of one another, may stand for more than fits into memory. We write none.

    Raises:
        ValueError, yaml.YAMLError: it has more, or is no YAML.
    """
    if text.count(b"*") > MAX_ALIASES:
        events = yaml.parse(text, Loader=Loader)
        if sum(isinstance(event, yaml.AliasEvent) for event in events) > MAX_ALIASES:
            raise ValueError("it has many YAML aliases")
    return yaml.load(text, Loader=Loader)


def _flat(path: Path, text: bytes) -> dict[str, Any] | None:
    """The values of config.json, where it was written with this YAML."""
    try:
        flat = parse_json((path / FLAT_CONFIG).read_bytes())
        return dict(flat["values"]) if flat["yaml_sha256"] == _digest(text) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_value(text: str) -> Any:
    """A value as a config would have it: a number, true or false, null, a list, or text.

    Raises:
        yaml.YAMLError: it is none of them.
    """
    return yaml.load(text, Loader=Loader)


def read_overrides(path: Path) -> list[str]:
    """What was said for the config of a folder."""
    return [str(word) for word in _load((path / OVERRIDES).read_bytes())]


def _dump(content: Any) -> str:
    text: str = yaml.dump(content, Dumper=Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True)
    return text


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
