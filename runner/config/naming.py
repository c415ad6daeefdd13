"""What was said on the command line, short enough for the name of a folder."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from runner.config.composing import flatten
from runner.config.errors import LIST_GROUPS
from runner.config_folders import folder, is_group, user_folders
from runner.store.config_file import read_value

# What decides nothing of the result, or is said apart.
NOT_SAID = {"name", "output_dir", "log", "hydra", "job", "sweep"}
IN_THE_NAME = ("data", "model")  # options that are the name of a run which was given none
MAX_PART = 20  # characters


def said(overrides: Sequence[str], cfg: DictConfig, choices: Mapping[str, str]) -> list[str]:
    """The choices and values of a line that differ from the defaults, as in `["sgd", "l2+dropout", "lr=0.01"]`.

    Letters, digits and `._=+-`; a class named by `_target_` stands for the option that it replaces.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    options: dict[str, str] = {}
    values: dict[str, str] = {}
    leaves, parser = flatten(cfg), OverridesParser.create()
    for override in map(parser.parse_override, overrides):
        key = override.key_or_group
        root = re.split("[./]", key)[0]
        if root in NOT_SAID or override.is_delete():
            continue
        if key in choices or is_group(key):
            option = choices.get(key) or str(override.value())
            if option != _defaults().get(key) and not (cfg.name is None and key in IN_THE_NAME):
                options[key] = option.replace(",", "+")
        elif key == f"{root}._target_":
            options[root] = str(leaves.get(key)).rpartition(".")[2]
        elif leaves.get(key) != _default(key, choices):
            values[key] = f"{short_key(key, leaves)}={_text(leaves.get(key))}"
    parts = (re.sub(r"[^\w.=+-]+", "", part, flags=re.ASCII) for part in [*options.values(), *values.values()])
    return [part[:MAX_PART].rstrip("-._+=") for part in parts if part]


def short_key(key: str, leaves: Iterable[str]) -> str:
    """The end of a key that no other key has: `lr` of `optimizer.lr`; of a list's option always with its name."""
    parts = key.split(".")
    for count in range(2 if parts[0] in LIST_GROUPS else 1, len(parts)):
        end = ".".join(parts[-count:])
        if not any(other != key and f".{other}".endswith(f".{end}") for other in leaves):
            return end
    return key


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(_text, value))
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value).rstrip("/").rpartition("/")[2]


def _defaults() -> dict[str, str]:
    """The option of each group where nothing is said."""
    entries = read_value((folder() / "train.yaml").read_text())["defaults"]
    return {group: str(option) for entry in entries if isinstance(entry, dict) for group, option in entry.items()}


def _default(key: str, choices: Mapping[str, str]) -> Any:
    """The value of a key in the file of the chosen option, or in those that it builds on; None where it has none."""
    group, *rest = key.split(".")
    if group in LIST_GROUPS and rest:
        return _look_up(f"{group}/{rest[0]}", rest)
    return _look_up(f"{group}/{choices[group]}", rest) if group in choices else _look_up("train", [group, *rest])


def _look_up(file: str, keys: Sequence[str]) -> Any:
    paths = (root / f"{file}.yaml" for root in [*user_folders(), folder()])
    path = next((path for path in paths if path.is_file()), None)
    content = read_value(path.read_text()) if path else None
    found = content
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found is None and isinstance(content, dict):
        parents = [name for name in content.get("defaults", []) if isinstance(name, str) and name != "_self_"]
        values = (_look_up(str(Path(file).with_name(name)), keys) for name in parents)
        found = next((value for value in values if value is not None), None)
    return found
