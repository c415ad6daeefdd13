"""Whether a config makes sense: every key held to the constructor it is meant for."""

import dataclasses
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner import renamed
from runner.config.errors import LIST_GROUPS
from runner.config_folders import folder
from runner.constraints import Bounds, NonNegativeInt, problem
from runner.errors import UserError, did_you_mean

RESERVED = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}
# Arguments that build fills in from the data, the engine or the network.
INJECTED = {
    *("in_channels", "image_size", "num_classes"),
    *("params", "network", "schedule"),
    *("steps_per_epoch", "total_steps", "mode"),
    *("folder", "hparams", "trial"),
    "class_counts",
}
# Keys of ours that another library's class lacks, with the values at which they do nothing: then it need not have them.
WITHOUT_EFFECT: dict[str, Any] = {
    "optimizer.decay_norms_and_biases": False,
    "optimizer.layer_decay": None,
    "optimizer.sam": 0,
    "optimizer.param_groups": [],
}
# Keys that build reads beside the constructor, which need not have them.
READ_BY_BUILD: dict[str, Any] = {"model.weights": str | None, "optimizer.scale_lr": bool}
NEWER_GROUPS = {"transfer"}  # that stored configs of before lack
LR, BATCH_SIZE, AUTO = "optimizer.lr", "data.batch_size", "auto"
ROOT_TYPES: dict[str, Any] = {"name": str | None, "seed": NonNegativeInt, "output_dir": str}


def check(config: DictConfig, auto: bool = False) -> dict[str, Any]:
    """Hold every key to the constructor it is meant for, before any file or device is touched; gives it as plain data.

    `auto`: whether the learning rate and the batch size may be ones that are yet to be found.

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
    frozen: dict[str, Any] = {**plain}  # type: ignore[dict-item]
    known = _root_keys() - {"sweep"}
    for missing in sorted(known - plain.keys() - NEWER_GROUPS):
        raise UserError(f"{missing}: missing from the config; it may be of another version of runner, or cut short")
    _check_name(plain.get("name"))
    if has_auto_lr(config):
        if not auto:
            raise UserError(f"{LR}: {AUTO} is found by runner train alone; give a number, say what runner check finds")
        if plain["optimizer"].get("scale_lr"):
            raise UserError(
                f"optimizer.scale_lr: {LR}={AUTO} is found for the batch size as it is; leave one of them out"
            )
        plain["optimizer"] = {**plain["optimizer"], "lr": 1.0}
    if has_auto_batch_size(config):
        if not auto:
            raise UserError(
                f"{BATCH_SIZE}: {AUTO} is found by runner train alone; give a number, say what it has found"
            )
        plain["data"] = {**plain["data"], "batch_size": 1}
    for word, value in plain.items():
        key = str(word)
        if key in ROOT_TYPES:
            _check_value(key, value, ROOT_TYPES[key])
        elif key not in known:
            raise UserError(f"{key}: no such key{renamed_or_nearest(key, known)}")
        elif key in LIST_GROUPS:
            for option, node in _mapping(key, value).items():
                _check_node(f"{key}.{option}", node)
        elif value:
            _check_node(key, value)
    return frozen


def has_auto_lr(config: DictConfig) -> bool:
    """Whether the learning rate is to be found before the training."""
    return bool(OmegaConf.select(config, LR, default=None) == AUTO)


def has_auto_batch_size(config: DictConfig) -> bool:
    """Whether the batch size is to be found before the training."""
    return bool(OmegaConf.select(config, BATCH_SIZE, default=None) == AUTO)


def check_sweep(config: DictConfig) -> None:
    """Hold the keys of the group `sweep` to what they are meant for; a trial's own config is checked apart.

    Raises:
        UserError: a key is unknown, of the wrong type or out of range.
    """
    _check_name(config.name)
    _check_node("sweep", OmegaConf.to_container(config.sweep, resolve=True))


def bounds(config: DictConfig, key: str) -> Bounds | None:
    """The bounds of a key's values, by the annotation of the argument that it becomes; None where there are none."""
    node, _, name = key.rpartition(".")
    target = OmegaConf.select(config, f"{node}._target_") if node else None
    if target is None:
        return None
    annotation = _hints(resolve(target, f"{node}._target_")).get(name)
    return next((extra for extra in get_args(annotation) if isinstance(extra, Bounds)), None)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and (not name or name.startswith(".") or "/" in name or "\0" in name):
        raise UserError(f"name: must be the name of one folder, without / and not beginning with a dot, not {name!r}")


def _root_keys() -> set[str]:
    return {*ROOT_TYPES, "objective", *_groups(folder())} - {"experiment", "hydra"}


@cache
def _groups(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("_"))


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
            if f"{path}.{key}" in READ_BY_BUILD:
                _check_value(f"{path}.{key}", value, READ_BY_BUILD[f"{path}.{key}"])
                continue
            if is_without_effect(f"{path}.{key}", value):
                continue
            raise UserError(f"{path}.{key}: no such key{_key_hint(path, str(key), known)}")
        nodes = {f"{path}.{key}": value} if isinstance(value, dict) else {}
        if isinstance(value, list):
            nodes = {f"{path}.{key}.{place}": item for place, item in enumerate(value)}
        for place, item in nodes.items():
            if isinstance(item, dict) and "_target_" in item:
                _check_node(place, item)
        if not (isinstance(value, dict) and "_target_" in value):
            _check_value(f"{path}.{key}", value, hints.get(key, Any))
    given = {*node, *INJECTED}
    for name, parameter in parameters.items():
        if name not in given and parameter.default is parameter.empty and name in known and "_partial_" not in node:
            raise UserError(f"{path}.{name}: must be set, as in {path}.{name}=VALUE")


def is_without_effect(path: str, value: Any) -> bool:
    """Whether a key does nothing for the class at that value, so that one without such an argument may be given it."""
    return path in READ_BY_BUILD or (path in WITHOUT_EFFECT and value == WITHOUT_EFFECT[path])


def is_plain(node: Mapping[str, Any]) -> bool:
    """Whether a node's keys are values and nothing else: no callable to be built among them, no word of Hydra's."""
    words = RESERVED - {"_target_"}
    return not any(key in words or _has_target(value) for key, value in node.items())


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_has_target, value.values()))
    return isinstance(value, list) and any(map(_has_target, value))


def _key_hint(path: str, key: str, known: set[str]) -> str:
    return renamed_or_nearest(f"{path}.{key}", {f"{path}.{name}" for name in known - INJECTED})


def renamed_or_nearest(key: str, known: Iterable[str]) -> str:
    """What a key is called now, or the nearest right one."""
    new = renamed.GROUPS.get(key) or renamed.new_key(key)
    return f"; it is now {new}" if new else did_you_mean(key, known)


def _check_value(key: str, value: Any, annotation: Any) -> None:
    found = problem(value, annotation)
    if found:
        new = renamed.new_value(key, value)
        raise UserError(f"{key}: {found}" + (f"; {value} is now {new}" if new else ""))


def _mapping(path: str, node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        name = path.partition(".")[0]
        if (folder() / name).is_dir():
            raise UserError(f"{path}: must be an option's keys, not {node!r}; see runner options {name}")
        raise UserError(f"{path}: has keys of its own, and cannot be {node!r}; see runner train --cfg job")
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


def resolve_nested(value: Any, key: str) -> None:
    """Import what `_target_`s name at any depth, as `resolve` does."""
    for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        if name == "_target_":
            resolve(item, f"{key}._target_")
        elif isinstance(item, Mapping | list):
            resolve_nested(item, f"{key}.{name}")


_more_folders: list[str] = []


def search_modules_in(folder: str) -> None:
    """Search that folder too, after the working folder, for classes of a config that is trusted."""
    if folder not in _more_folders:
        _more_folders.append(folder)


def _find_in_working_folder(package: str) -> None:
    """Search the working folder too, where a package is installed nowhere. Not before, for it may be anybody's."""
    for searched in (str(Path.cwd()), *_more_folders):
        try:
            missing = importlib.util.find_spec(package) is None
        except ValueError:  # no name, or a module without a file
            missing = False
        if missing and searched not in sys.path:
            sys.path.append(searched)


def resolve(dotted: str, key: str) -> Callable[..., Any]:
    """The class or function of that dotted name.

    Raises:
        UserError: there is none.
    """
    if not isinstance(dotted, str):
        raise UserError(f"{key}: must be a dotted name such as mypackage.MyNet, not {dotted!r}")
    parts = dotted.split(".")
    _find_in_working_folder(parts[0])
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
