"""Configs of stored runs: what identifies one, and what may change when it goes on."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from runner.config.allowlist import check_trusted
from runner.config.checking import check, renamed_or_nearest, search_modules_in
from runner.config.composing import explain, flatten
from runner.config.errors import option_hint
from runner.config_folders import folder, option_files
from runner.errors import UserError
from runner.store import RunFolder, find_folder
from runner.store.run_folder import ENVIRONMENT

# What may change when a run goes on; the rest is the run's identity.
FREE_KEYS = (
    "name",
    "output_dir",
    "engine.epochs",
    "engine.max_steps",
    "engine.max_time",
    "engine.patience",
    "engine.eval_every_epochs",
    "engine.divergence_factor",
    "engine.device",
    "engine.compile",
    "engine.num_threads",
    "engine.deterministic",
    "engine.on_oom",
    "engine.checkpoint_every_epochs",
    "engine.checkpoint_every_steps",
    "engine.checkpoint_every_seconds",
    "engine.snapshot_every_epochs",
    "engine.keep",
    "log",
    "model.weights",  # likewise: their digest is held
    "transfer.source",
    "transfer.cache",
    "loss.teacher",  # where it lies; its weights are held to those it had
    "data.root",
    "data.file",
    "data.cache",
    "data.loading",
    "data.in_memory_limit_mib",
    "data.num_workers",
    "data.eval_batch_size",
)
PATH_KEYS = ("data.root", "data.file", "model.weights", "transfer.source")  # that may be relative to the working folder
RUN_KEYS = ("loss.teacher", "transfer.source")  # that name finished runs
FREE_IN_TEST = ("tta",)  # a group whose option may change when a run is tested


def identity(config: DictConfig) -> dict[str, Any]:
    """The leaves that decide what is trained and how; a checkpoint belongs to exactly one identity."""
    return fixed(flatten(config))


def fixed(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Of the leaves of a config, those of its identity."""
    return {key: value for key, value in leaves.items() if not is_free(key)}


def settle(config: DictConfig) -> bool:
    """Write the folders that words of a config name in place of the words, which may come to name others.

    Gives whether there was such a word.

    Raises:
        UserError: a word names no folder, several, or the last one.
    """
    found_one = False
    for key in RUN_KEYS:
        word = OmegaConf.select(config, key, default=None)
        if word is None:
            continue
        if str(word) == "last":
            raise UserError(f"{key}: last may be another run by the time it is read; name its folder or number")
        try:
            folder = find_folder(str(word))
        except UserError as error:
            raise UserError(f"{key}: {error}") from None
        if not folder.is_dir():
            raise UserError(f"{key}: there is no run {word}; runner list shows those in outputs")
        OmegaConf.update(config, key, str(folder))
        found_one = True
    return found_one


@cache
def is_free(key: str) -> bool:
    return any(key == free or key.startswith(free + ".") for free in FREE_KEYS)


def check_stored_words(words: Any, path: Path) -> None:
    """Refuse stored overrides that do more than choose options and set keys: flags, and words for Hydra or for jobs.

    Raises:
        UserError: one is of these kinds, or no override.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for word in words if isinstance(words, list) else [words]:
        try:
            override = OverridesParser.create().parse_override(word)
        except (HydraException, AttributeError, TypeError):
            raise UserError(f"{path}: {word!r} is no override; restore the file from a copy") from None
        places = (override.key_or_group, override.package or "")
        if any(re.split(r"[./@]", place)[0] in ("hydra", "job") for place in places):
            raise UserError(f"{path}: {word} is no override of a sweep; pass --trust if you trust this folder")


def with_overrides(config: DictConfig, overrides: Sequence[str], for_: Literal["resume", "test"]) -> DictConfig:
    """A stored config with values changed from the command line.

    Raises:
        UserError: an override is no KEY=VALUE of a key that exists, or would make it another run.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    changed = config.copy()
    known = flatten(config)
    for word in overrides:
        if "=" not in word:
            raise UserError(f"{word}: not an override; expected KEY=VALUE")
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException as error:
            raise explain(error, overrides) from None
        key = override.key_or_group
        if for_ == "test" and key in FREE_IN_TEST:
            changed[key] = _option(key, str(override.value()))
            known = flatten(changed)
            continue
        if key not in known:
            raise UserError(f"{key}: no such key in this run's config{renamed_or_nearest(key, known)}")
        if not is_free(key) and not (for_ == "test" and key.startswith(FREE_IN_TEST)):
            remedy = "start a new run with runner train" if for_ == "resume" else "it was trained with that setting"
            raise UserError(f"{key}: cannot change in {for_} of a stored run; {remedy}")
        OmegaConf.update(changed, key, override.value())
    return changed


def _option(group: str, option: str) -> DictConfig:
    """The keys of one option of a group, as its YAML has them."""
    options = option_files(group, [folder()])
    if option not in options:
        raise UserError(f"{group}={option}: no such option{option_hint(group, option, options)}")
    loaded = OmegaConf.load(options[option])
    assert isinstance(loaded, DictConfig)
    return loaded


def stored_config(
    folder: RunFolder, overrides: Sequence[str], for_: Literal["resume", "test"], trust: bool
) -> DictConfig:
    """The config of a stored run with values changed from the command line, checked.

    Raises:
        UserError: an override is none, would make it another run, or the config would build classes that are not
            runner's own, unless `trust` is set.
    """
    cfg = with_overrides(with_paths_found(folder.config, folder, trust), overrides, for_=for_)
    if not trust:
        check_trusted(cfg)
    check(cfg)
    return cfg


def with_paths_found(cfg: DictConfig, folder: RunFolder, trust: bool) -> DictConfig:
    """The config of a run that began in another working folder: relative paths and own modules are found from there.

    What lies in the present working folder comes first.
    """
    began = folder.read_json(ENVIRONMENT).get("folder")
    if not isinstance(began, str) or Path(began) == Path.cwd():
        return cfg
    cfg = cfg.copy()
    for key in PATH_KEYS:
        path = OmegaConf.select(cfg, key, default=None)
        if isinstance(path, str) and not Path(path).expanduser().exists() and (Path(began) / path).exists():
            OmegaConf.update(cfg, key, str(Path(began) / path))
    if trust:
        search_modules_in(began)
    return cfg
