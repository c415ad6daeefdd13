"""Composed configs: where they come from, and what to say of a line that composes none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner import renamed
from runner.errors import UserError, did_you_mean
from runner.store import flat

EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/ray": "ray",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
}
LIST_GROUPS = ("reg", "augment")  # groups of which several options may be chosen at once


def folder() -> Path:
    """The folder of our own configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def user_folders() -> list[Path]:
    """Folders of the user's own configs, from RUNNER_CONFIGS (separated as PATH is).

    Raises:
        UserError: one does not exist.
    """
    paths = [Path(text) for text in os.environ.get("RUNNER_CONFIGS", "").split(os.pathsep) if text]
    for path in paths:
        if not path.is_dir():
            raise UserError(f"RUNNER_CONFIGS: no folder {path}; correct the variable or unset it")
    return [path.absolute() for path in paths]


def add_user_folder(path: Path) -> None:
    """Have this process, and those that it starts, find configs in that folder too.

    Raises:
        UserError: it does not exist.
    """
    if not path.is_dir():
        raise UserError(f"--config-dir: no folder {path}; correct it")
    paths = [*map(str, user_folders()), str(path.absolute())]
    os.environ["RUNNER_CONFIGS"] = os.pathsep.join(dict.fromkeys(paths))


def search_path_override() -> list[str]:
    """The override that lets Hydra find the user's folders, if there are any."""
    paths = ",".join(f"'file://{path}'" for path in user_folders())
    return [f"hydra.searchpath=[{paths}]"] if paths else []


def compose(overrides: Sequence[str] = (), command: str = "train") -> DictConfig:
    """The config that `runner COMMAND OVERRIDES` would use. Choices of group options are in `choices(config)`.

    Raises:
        UserError: an override names no option or key.
    """
    config, _ = compose_with_choices(overrides, command)
    return config


def compose_with_choices(overrides: Sequence[str], command: str = "train") -> tuple[DictConfig, dict[str, str]]:
    """The config, and which option was chosen from each group."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    words = [*search_path_override(), *overrides]
    try:
        with initialize_config_dir(str(folder()), version_base="1.3"):
            whole = hydra_compose(command, words, return_hydra_config=True)
    except Exception as error:
        raise explain(error, overrides, command) from error
    chosen = choices(whole, whole.hydra.runtime.choices)
    config = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    return config, chosen


def choices(config: DictConfig, runtime_choices: Mapping[str, Any]) -> dict[str, str]:
    """The option chosen from each group, by name; several of one group joined by commas."""
    chosen = {
        str(group): str(option)
        for group, option in runtime_choices.items()
        if option is not None and not str(group).startswith("hydra/")
    }
    for group in LIST_GROUPS:  # Hydra leaves out what was chosen as a list
        chosen[group] = ",".join(str(key) for key in config.get(group, {})) or "none"
    return chosen


def flatten(config: Any) -> dict[str, Any]:
    """Leaf values of a config by dotted key; lists are leaves."""
    plain: Any = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    return flat.flatten(plain)


# ---------------------------------------------------------------------------------------------------------------------
# Explaining


def explain(error: Exception, overrides: Sequence[str], command: str = "train") -> Exception:
    """A composition error of Hydra's as one line that names the key and the remedy; any other error as it is."""
    from hydra.errors import HydraException, OverrideParseException

    if isinstance(error, yaml.YAMLError):
        return UserError(f"config: a YAML file cannot be read: {' '.join(str(error).split())}")
    null_group = next((word for word in overrides if re.fullmatch(r"(reg|augment|average)=null", word)), None)
    if isinstance(error, UserError) or not (null_group or isinstance(error, HydraException | OmegaConfBaseException)):
        return error
    if null_group:
        group = null_group.partition("=")[0]
        return UserError(f"{group}: null is no option; use {group}=none")
    text = str(error)
    if isinstance(error, OverrideParseException):
        return UserError(
            f"{error.override}: not an override ({text.splitlines()[0]}); expected KEY=VALUE, quoted if odd"
        )
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        return _unknown_option(missing, getattr(error, "options", None) or _options_in(text))
    match = re.search(r"Could not (?:override|append|delete).*?'([^']+)'", text)
    if match:
        return _unknown_key(match[1], overrides, command)
    if "requires --multirun" in text or "does not support sweep type" in text:
        return UserError("config: a range is searched by runner sweep; runner train -m takes values, as in seed=1,2,3")
    cause = error.__cause__
    reason = " ".join((text if cause is None else f"{text} {cause}").split())
    return UserError(f"config: {reason}")


def _unknown_option(missing: str, options: Sequence[str]) -> UserError:
    group, _, option = missing.rpartition("/")
    if not group:
        return UserError(f"{option}: no such config file")
    if missing in EXTRAS:
        return UserError(f"{group}={option}: needs an extra; install it with: pip install -e '.[{EXTRAS[missing]}]'")
    new = renamed.new_option(group, option)
    return UserError(
        f"{group}={option}: no such option" + (f"; it is now {new}" if new else did_you_mean(option, visible(options)))
    )


def _options_in(text: str) -> list[str]:
    return [line.strip() for line in text.partition("Available options")[2].splitlines()[1:] if line.startswith("\t")]


def visible(options: Sequence[str]) -> list[str]:
    """Options a user may choose: those without a leading underscore."""
    return [option for option in options if not option.startswith("_")]


def _single(overrides: Sequence[str]) -> list[str]:
    """The same without what only a search understands: the first of several values, and no ranges."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep

    parser = OverridesParser.create()
    words = []
    for word in overrides:
        override = parser.parse_override(word)
        value = override.value()
        if isinstance(value, ChoiceSweep):
            words.append(f"{override.get_key_element()}={override.get_value_string().partition(',')[0]}")
        elif not override.is_sweep_override():
            words.append(word)
    return words


def _renamed(key: str, overrides: Sequence[str]) -> str | None:
    """What is written now in place of an override of that key."""
    if key in renamed.GROUPS:
        chosen = (word.lstrip("+~").partition("=")[2] for word in overrides if word.lstrip("+~").startswith(f"{key}="))
        option = next(chosen, "")
        return renamed.new_option(key, option) or renamed.GROUPS[key]
    return renamed.new_key(key)


def _unknown_key(key: str, overrides: Sequence[str], command: str) -> UserError:
    """Compose without the override that failed, to see which keys there are."""
    key = key.split("@")[0].strip("+~")
    new = _renamed(key, overrides)
    if new:
        return UserError(f"{key}: no such key; it is now {new}")
    rest = [word for word in _single(overrides) if word.lstrip("+~").partition("=")[0] != key]
    try:
        config, _ = compose_with_choices(rest if len(rest) < len(overrides) else [], command)
    except Exception:
        return UserError(f"{key}: no such key")
    group, _, rest_of_key = key.partition(".")
    option = rest_of_key.partition(".")[0]
    if (
        group in LIST_GROUPS
        and option not in config.get(group, {})
        and any((root / group / f"{option}.yaml").is_file() for root in [folder(), *user_folders()])
    ):
        return UserError(
            f"{key}: {option} is not chosen; choose it first: {group}={option}, or a list such as {group}=[..]"
        )
    known = {name for name in flatten(config) if "._" not in name}
    known |= {path.name for path in folder().iterdir() if path.is_dir()}
    hint = did_you_mean(key, known)
    return UserError(
        f"{key}: no such key{hint if 'mean' in hint else '; see runner options or runner train --cfg job'}"
    )
