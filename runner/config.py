"""Composed configs: where they come from, whether they make sense, and what to say when they do not."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.errors import UserError, did_you_mean
from runner.quantity import Count, Range, problem

LIST_GROUPS = ("reg", "augment")  # groups of which several options may be chosen at once
RESERVED = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}
# Arguments that build fills in from the data, the engine or the network.
FILLED_IN = {
    *("in_channels", "image_size", "num_classes"),
    *("params", "network", "schedule"),
    *("steps_per_epoch", "total_steps", "mode"),
}
ROOT_TYPES: dict[str, Any] = {"name": str | None, "seed": Count, "output_dir": str}


def folder() -> Path:
    """The folder of our own configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
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
        raise explained(error, overrides, command) from error
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


# ---------------------------------------------------------------------------------------------------------------------
# Checking


def check(config: DictConfig) -> None:
    """Hold every key to the constructor it is meant for, before any file or device is touched.

    Raises:
        UserError: a key is unknown, missing, of the wrong type or out of range.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "config"
        if "missing" in type(error).__name__.lower():
            raise UserError(f"{key}: must be set, as in {key}=VALUE") from None
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from None
    assert isinstance(plain, dict)
    known = _root_keys() - {"sweep"}
    for missing in sorted(known - plain.keys()):
        raise UserError(f"{missing}: missing from the config; it may be of another version of runner, or cut short")
    _check_name(plain.get("name"))
    for word, value in plain.items():
        key = str(word)
        if key in ROOT_TYPES:
            _check_value(key, value, ROOT_TYPES[key])
        elif key not in known:
            raise UserError(f"{key}: no such key{did_you_mean(key, known)}")
        elif key in LIST_GROUPS:
            for option, node in _mapping(key, value).items():
                _check_node(f"{key}.{option}", node)
        elif value:
            _check_node(key, value)


def check_sweep(config: DictConfig) -> None:
    """Hold the keys of the group `sweep` to what they are meant for; a trial's own config is checked apart.

    Raises:
        UserError: a key is unknown, of the wrong type or out of range.
    """
    _check_name(config.name)
    _check_node("sweep", OmegaConf.to_container(config.sweep, resolve=True))


def bounds(config: DictConfig, key: str) -> Range | None:
    """The bounds of a key's values, by the annotation of the argument that it becomes; None where there are none."""
    node, _, name = key.rpartition(".")
    target = OmegaConf.select(config, f"{node}._target_") if node else None
    if target is None:
        return None
    annotation = _hints(resolve(target, f"{node}._target_")).get(name)
    return next((extra for extra in get_args(annotation) if isinstance(extra, Range)), None)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and (not name or name.startswith(".") or "/" in name or "\0" in name):
        raise UserError(f"name: must be the name of one folder, without / and not beginning with a dot, not {name!r}")


def _root_keys() -> set[str]:
    groups = {path.name for path in folder().iterdir() if path.is_dir() and not path.name.startswith("_")}
    return {*ROOT_TYPES, "objective", *groups} - {"experiment", "hydra"}


def _check_node(path: str, node: Any) -> None:
    """A mapping with a `_target_`: its other keys are that callable's arguments."""
    node = _mapping(path, node)
    if "_target_" not in node:
        raise UserError(
            f"{path}: has no _target_ (the class or function to build it with); choose an option or add one"
        )
    target = resolve(node["_target_"], f"{path}._target_")
    parameters = parameters_of(target)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    hints = _hints(target)
    for key, value in node.items():
        if key in RESERVED:
            continue
        if key not in known and not takes_any:
            raise UserError(f"{path}.{key}: no such key{_key_hint(path, str(key), known)}")
        if isinstance(value, dict) and "_target_" in value:
            _check_node(f"{path}.{key}", value)
        else:
            _check_value(f"{path}.{key}", value, hints.get(key, Any))
    given = {*node, *FILLED_IN}
    for name, parameter in parameters.items():
        if name not in given and parameter.default is parameter.empty and name in known and "_partial_" not in node:
            raise UserError(f"{path}.{name}: must be set, as in {path}.{name}=VALUE")


def is_plain(node: Mapping[str, Any]) -> bool:
    """Whether a node's keys are values and nothing else: no callable to be built among them, no word of Hydra's."""
    words = RESERVED - {"_target_"}
    return not any(key in words or _has_target(value) for key, value in node.items())


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_has_target, value.values()))
    return isinstance(value, list) and any(map(_has_target, value))


def _key_hint(path: str, key: str, known: set[str]) -> str:
    return did_you_mean(f"{path}.{key}", {f"{path}.{name}" for name in known - FILLED_IN})


def _check_value(key: str, value: Any, annotation: Any) -> None:
    found = problem(value, annotation)
    if found:
        raise UserError(f"{key}: {found}")


def _mapping(path: str, node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        name = path.partition(".")[0]
        raise UserError(f"{path}: must be an option's keys, not {node!r}; see runner options {name}")
    return node


@cache
def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of a callable, by name."""
    return inspect.signature(target).parameters


@cache
def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of a callable's arguments; none where they cannot be evaluated (users' code may do as it likes)."""
    owner = target if dataclasses.is_dataclass(target) or not inspect.isclass(target) else target.__init__
    try:
        return get_type_hints(owner, include_extras=True)
    except Exception:
        return {}


def resolve(dotted: str, key: str) -> Callable[..., Any]:
    """The class or function of that dotted name.

    Raises:
        UserError: there is none.
    """
    if not isinstance(dotted, str):
        raise UserError(f"{key}: must be a dotted name such as mypackage.MyNet, not {dotted!r}")
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(error.name + ".")):
                continue
            raise UserError(f"{key}: importing {name} failed: {error}") from error
        for part in parts[cut:]:
            if not hasattr(found, part):
                hint = did_you_mean(part, [word for word in dir(found) if not word.startswith("_")])
                raise UserError(f"{key}: {name} has no '{part}'{hint if 'mean' in hint else ''}")
            found = getattr(found, part)
        if not callable(found):
            raise UserError(f"{key}: {dotted} is neither a class nor a function")
        return found
    raise UserError(
        f"{key}: no module '{parts[0]}'; name it as package.Class, and run from the folder that holds it or install it"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Explaining


def explained(error: Exception, overrides: Sequence[str], command: str = "train") -> Exception:
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
    cause = error.__cause__
    reason = " ".join((text if cause is None else f"{text} {cause}").split())
    return UserError(f"config: {reason}")


def _unknown_option(missing: str, options: Sequence[str]) -> UserError:
    group, _, option = missing.rpartition("/")
    if not group:
        return UserError(f"{option}: no such config file")
    return UserError(f"{group}={option}: no such option{did_you_mean(option, visible(options))}")


def _options_in(text: str) -> list[str]:
    return [line.strip() for line in text.partition("Available options")[2].splitlines()[1:] if line.startswith("\t")]


def visible(options: Sequence[str]) -> list[str]:
    """Options a user may choose: those without a leading underscore."""
    return [option for option in options if not option.startswith("_")]


def _unknown_key(key: str, overrides: Sequence[str], command: str) -> UserError:
    """Compose without the override that failed, to see which keys there are."""
    key = key.split("@")[0].strip("+~")
    rest = [word for word in overrides if word.lstrip("+~").partition("=")[0] != key]
    try:
        config, _ = compose_with_choices(rest if len(rest) < len(overrides) else [], command)
    except Exception:
        return UserError(f"{key}: no such key")
    group, _, rest_of_key = key.partition(".")
    option = rest_of_key.partition(".")[0]
    if group in LIST_GROUPS and any(
        (root / group / f"{option}.yaml").is_file() for root in [folder(), *user_folders()]
    ):
        return UserError(
            f"{key}: {option} is not chosen; choose it first: {group}={option}, or a list such as {group}=[..]"
        )
    known = set(flat(config)) | {path.name for path in folder().iterdir() if path.is_dir()}
    hint = did_you_mean(key, known)
    return UserError(
        f"{key}: no such key{hint if 'mean' in hint else '; see runner options or runner train --cfg job'}"
    )


def flat(config: Any) -> dict[str, Any]:
    """Leaf values by dotted key; lists are leaves."""
    plain = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    return dict(_leaves("", plain))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), item)
    else:
        yield path, value


# ---------------------------------------------------------------------------------------------------------------------
# Going on with a stored run

# What may change when a run goes on; the rest is the run's identity.
FREE_KEYS = (
    "name",
    "output_dir",
    "engine.epochs",
    "engine.max_steps",
    "engine.pause_epoch",
    "engine.patience",
    "engine.eval_every_epochs",
    "engine.divergence_factor",
    "engine.device",
    "engine.compile",
    "engine.threads",
    "engine.deterministic",
    "engine.checkpoint_every_epochs",
    "engine.checkpoint_every_steps",
    "engine.checkpoint_every_seconds",
    "engine.snapshot_every_epochs",
    "log",
    "data.root",
    "data.cache",
    "data.route",
    "data.resident_limit_mb",
    "data.num_workers",
    "data.eval_batch_size",
)
FREE_IN_TEST = ("views",)  # a group whose option may change when a run is tested


def identity(config: DictConfig) -> dict[str, Any]:
    """The leaves that decide what is trained and how; a checkpoint belongs to exactly one identity."""
    return {key: value for key, value in flat(config).items() if not is_free(key)}


def is_free(key: str) -> bool:
    return any(key == free or key.startswith(free + ".") for free in FREE_KEYS)


def with_overrides(config: DictConfig, overrides: Sequence[str], for_: Literal["resume", "test"]) -> DictConfig:
    """A stored config with values changed from the command line.

    Raises:
        UserError: an override is no KEY=VALUE of a key that exists, or would make it another run.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    changed = config.copy()
    known = flat(config)
    for word in overrides:
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException as error:
            raise explained(error, overrides) from None
        key = override.key_or_group
        if for_ == "test" and key in FREE_IN_TEST:
            changed[key] = _option(key, str(override.value()))
            known = flat(changed)
            continue
        if key not in known:
            raise UserError(f"{key}: no such key in this run's config{did_you_mean(key, known)}")
        if not is_free(key) and not (for_ == "test" and key.startswith(FREE_IN_TEST)):
            remedy = "start a new run with runner train" if for_ == "resume" else "it was trained with that setting"
            raise UserError(f"{key}: cannot change in {for_} of a stored run; {remedy}")
        OmegaConf.update(changed, key, override.value())
    return changed


def _option(group: str, option: str) -> DictConfig:
    """The keys of one option of a group, as its YAML has them."""
    path = folder() / group / f"{option}.yaml"
    if not path.is_file():
        options = visible([found.stem for found in path.parent.glob("*.yaml")])
        raise UserError(f"{group}={option}: no such option{did_you_mean(option, options)}")
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    return loaded
