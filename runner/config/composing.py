"""Composed configs, and which options were chosen."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.arguments import with_quoted_patterns
from runner.config.errors import LIST_GROUPS, one_line
from runner.config_folders import folder, search_path_override
from runner.store import flat


def words_of(said: Sequence[str | Sequence[str]], keys: Mapping[str, Any]) -> list[str]:
    """Overrides as Python gives them, as words of the command line: texts, lists of texts, and keys with values.

    A value that is text is taken as it would be there: a list, a range, or quoted where it is odd.

    >>> words_of(["optimizer=adam seed=1", ["reg=l2"]], {"augment": ["crop", "flip"], "optimizer.lr": 0.1})
    ['optimizer=adam', 'seed=1', 'reg=l2', 'augment=[crop,flip]', 'optimizer.lr=0.1']
    """
    words: list[str] = []
    for item in said:
        words += shlex.split(item) if isinstance(item, str) else item
    return with_quoted_patterns([*words, *(f"{key}={_as_word(value)}" for key, value in keys.items())])


def _as_word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_as_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_as_word, value))}]"
    if isinstance(value, Path):
        return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)


def compose(overrides: str | Sequence[str] = (), command: str = "train") -> DictConfig:
    """The config that `runner COMMAND OVERRIDES` would use. Choices of group options are in `choices(config)`.

    Raises:
        UserError: an override names no option or key.
    """
    config, _ = compose_with_choices(words_of([overrides], {}), command)
    return config


def compose_with_choices(overrides: Sequence[str], command: str = "train") -> tuple[DictConfig, dict[str, str]]:
    """The config, and which option was chosen from each group."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    load_plugins()
    words = [*search_path_override(), *overrides]
    try:
        with initialize_config_dir(str(folder()), version_base="1.3"):
            whole = hydra_compose(command, words, return_hydra_config=True)
    except Exception as error:
        raise explain(error, overrides, command, composing=True) from error
    chosen = choices(whole, whole.hydra.runtime.choices)
    config = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    return config, chosen


def load_plugins() -> None:
    """Have Hydra import its plug-ins: those that are installed, none of the working folder, which may be anybody's."""
    from hydra.core.plugins import Plugins

    here, before = Path.cwd().resolve(), sys.path[:]
    sys.path[:] = [entry for entry in before if Path(entry or ".").resolve() != here]
    try:
        Plugins.instance()
    finally:
        sys.path[:] = before


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


def explain(error: Exception, overrides: Sequence[str], command: str = "train", composing: bool = False) -> Exception:
    """A composition error of Hydra's as one line that names the key and the remedy; any other error as it is.

    `composing`: whether it was raised while the config was composed, whatever its kind.
    """
    return one_line(error, overrides, lambda words: compose(words, command), composing)
