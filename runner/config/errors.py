"""Hydra's and OmegaConf's errors in one line that names the key and the remedy."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner import config_folders as folders
from runner import renamed
from runner.errors import UserError, did_you_mean, reason
from runner.store import flat

LAUNCHERS = {"slurm": "submitit_slurm", "submitit": "submitit_slurm", "local": "workers"}  # what people say for them
HYDRAS_FLAGS = {
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
}
OWN_FOLDERS = ("hydra.run.dir", "hydra.job.chdir", "hydra.output_subdir")
EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/ray": "ray",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
}
RANGES = {
    "interval": "interval(LOW,HIGH)",
    "range": "range(START,STOP) or range(START,STOP,STEP)",
    "choice": "choice(A,B,C)",
    "tag": "tag(WORDS,interval(LOW,HIGH))",
}
LIST_GROUPS = ("reg", "augment")  # groups of which several options may be chosen at once

COMMON = ("optimizer", "data", "engine", "model")  # whose key is meant, where several groups have one of that name
Compose = Callable[[Sequence[str]], DictConfig]


def one_line(error: Exception, overrides: Sequence[str], compose: Compose, composing: bool = False) -> Exception:
    """A composition error of Hydra's as one line that names the key and the remedy; any other error as it is.

    What went wrong is in the English of Hydra's messages alone; one that is not known is shown as it is, in one line.

    Args:
        composing: it was raised while the config was composed, so that any error is one of that.
    """
    from hydra.errors import HydraException, OverrideParseException

    if isinstance(error, yaml.YAMLError):
        return UserError(f"config: a YAML file cannot be read: {reason(error)}")
    null_group = next((word for word in overrides if re.fullmatch(r"(reg|augment|average)=null", word)), None)
    known = isinstance(error, HydraException | OmegaConfBaseException)
    if isinstance(error, UserError) or not (null_group or known or (composing and not isinstance(error, OSError))):
        return error
    if null_group:
        group = null_group.partition("=")[0]
        return UserError(f"{group}: null is no option; use {group}=none")
    if not known:
        return UserError(
            _no_option(overrides) or odd_file(_user_files()) or f"config: {type(error).__name__}: {reason(error)}"
        )
    text = str(error)
    if isinstance(error, OverrideParseException):
        return UserError(_no_override(error.override, text))
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        return _unknown_option(missing, getattr(error, "options", None) or _options_in(text))
    match = re.search(r"Could not (?:override|append|delete).*?'([^']+)'", text)
    if match:
        return _unknown_key(match[1], overrides, compose)
    if any(words in text for words in ("requires --multirun", "does not support sweep type", "Ambiguous value")):
        return UserError(_several_values(overrides))
    cause = error.__cause__
    whole = " ".join((text if cause is None else f"{text} {cause}").split())
    return UserError(f"config: {whole}")


def check_flags(words: Iterable[str], leaves: Callable[[], Iterable[str]]) -> None:
    """Refuse flags that there are none of, and words that would move the folders of runs.

    `leaves`: gives the keys of a config, should one be meant.

    Raises:
        UserError: a word is one of these.
    """
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith(OWN_FOLDERS):
            raise UserError(f"{flag}: a run makes its own folder; set output_dir, or name")
        if flag.startswith("-") and flag not in HYDRAS_FLAGS:
            bare = flag.lstrip("-").replace("-", "_")
            keys = [leaf for leaf in leaves() if bare in (leaf, leaf.rpartition(".")[2])]
            hint = f"a key is set without dashes, as in {keys[0]}=VALUE" if keys else "see runner train --help"
            raise UserError(f"{flag}: no such flag; {hint}")


def _no_override(word: str, text: str) -> str:
    """What is wrong with a word that Hydra cannot parse."""
    function = re.search(r"while evaluating '(\w+)\(.*?\)': (.*)", text)
    if function and function[1] in RANGES:
        return f"{word}: {function[2]}; expected {RANGES[function[1]]}"
    return f"{word}: not an override ({text.splitlines()[0]}); expected KEY=VALUE, quoted if odd"


def _several_values(overrides: Sequence[str]) -> str:
    """Of the first override that has several values, or a range."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for word in overrides:
        override = OverridesParser.create().parse_override(word)
        if override.is_discrete_sweep():
            return f"{word}: several values are several runs; runner train -m {word} trains each, runner sweep searches"
    return "config: a range is searched by runner sweep; runner train -m takes values, as in seed=1,2,3"


def _no_option(overrides: Sequence[str]) -> str | None:
    """Of the first override that gives a group something other than the name of an option, or names of some."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, QuotedString

    parser = OverridesParser.create()
    for override in (parser.parse_override(word) for word in overrides if "=" in word):
        group, value = override.key_or_group, override.value()
        values = value.list if isinstance(value, ChoiceSweep) else [value]
        names = [name for one in values for name in (one if isinstance(one, list) else [one])]
        is_group = bool(group) and (folders.folder() / group).is_dir()
        if is_group and not all(isinstance(name, str | QuotedString) for name in names):
            options, said = ", ".join(folders.option_files(group)), override.get_value_string()
            return f"{group}={said}: {said} names no option; choose from {options}"
    return None


def _user_files() -> list[Path]:
    return [path for folder in folders.user_folders() for path in sorted(folder.rglob("*.yaml"))]


def odd_file(paths: Sequence[Path]) -> str | None:
    """Of the first of these files that Hydra cannot take, for its errors do not always name one."""
    for path in paths:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            return f"{path}: cannot be read ({reason(error)}); save it as YAML in UTF-8"
        defaults = content.get("defaults", []) if isinstance(content, dict) else []
        if not isinstance(defaults, list) or not all(isinstance(entry, str | dict) for entry in defaults):
            return f"{path}: defaults must be a list of options, as in [group: option, _self_], not {defaults!r}"
    return None


def _unknown_option(missing: str, options: Sequence[str]) -> UserError:
    group, _, option = missing.rpartition("/")
    if not group:
        return UserError(f"{option}: no such config file")
    if group == "hydra/launcher":
        said, option = option, LAUNCHERS.get(option, option)
        if extra := EXTRAS.get(f"{group}/{option}"):
            is_it = "" if said == option else f"it is called {option}, and "
            return UserError(f"{group}={said}: {is_it}needs an extra; install it with: pip install -e '.[{extra}]'")
    if not options and (folders.folder() / group).is_dir():
        options = list(folders.option_files(group))
    return UserError(f"{group}={option}: no such option{option_hint(group, option, options)}")


def option_hint(group: str, option: str, options: Iterable[str]) -> str:
    """What is chosen now in place of an option that does not exist, or the nearest of the group's options."""
    new = renamed.new_option(group, option)
    return f"; it is now {new}" if new else did_you_mean(option, visible(options))


def _options_in(text: str) -> list[str]:
    return [line.strip() for line in text.partition("Available options")[2].splitlines()[1:] if line.startswith("\t")]


def visible(options: Iterable[str]) -> list[str]:
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


def _unknown_key(key: str, overrides: Sequence[str], compose: Compose) -> UserError:
    """Compose without the override that failed, to see which keys there are."""
    key, _, package = key.strip("+~").partition("@")
    new = _renamed(key, overrides)
    if new:
        return UserError(f"{key}: no such key; it is now {new}")
    if package:
        return UserError(f"{key}@{package}: no such key; leave @{package} out")
    rest = [word for word in _single(overrides) if word.lstrip("+~").partition("=")[0] != key]
    try:
        config = compose(rest if len(rest) < len(overrides) else [])
    except Exception:
        return UserError(f"{key}: no such key")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    leaves = flat.flatten(plain)
    if found := unchosen_option(key, leaves):
        group, option = found
        return UserError(
            f"{key}: {option} is not chosen; choose it first: {group}={option}, or a list such as {group}=[..]"
        )
    if elsewhere := _options_with(key, leaves):
        group, name = key.partition(".")[0], key.partition(".")[2]
        some = f"{', '.join(elsewhere[:5])}{' and others' if len(elsewhere) > 5 else ''}"
        return UserError(f"{key}: {name} is a key of {group}={some}; choose that first, as in {group}={elsewhere[0]}")
    known = {name for name in leaves if "._" not in name}
    same = [name for name in known if name.rpartition(".")[2] == key]
    if same:
        first = min(same, key=lambda name: (name.partition(".")[0] not in COMMON, name))
        return UserError(f"{key}: no such key; did you mean '{first}'?")
    known |= {path.name for path in folders.folder().iterdir() if path.is_dir()}
    hint = did_you_mean(key, known)
    return UserError(
        f"{key}: no such key{hint if 'mean' in hint else '; see runner options or runner train --cfg job'}"
    )


def _options_with(key: str, leaves: Iterable[str]) -> list[str]:
    """The options of the key's group that have it, where the one that is chosen does not."""
    group, _, name = key.partition(".")
    if not name or key in leaves or group in LIST_GROUPS:
        return []
    return [option for option, path in folders.option_files(group).items() if name in _keys_of(path)]


def _keys_of(path: Path) -> set[str]:
    """Keys of an option, with those of the files that it builds on, which may be of another folder of configs."""
    content = yaml.safe_load(path.read_text()) or {}
    keys = set(content)
    for default in content.get("defaults", []):
        if isinstance(default, str) and default != "_self_":
            bases = (root / path.parent.name / f"{default}.yaml" for root in folders.all_folders())
            keys |= next((_keys_of(base) for base in bases if base != path and base.is_file()), set())
    return keys


def unchosen_option(key: str, leaves: Iterable[str]) -> tuple[str, str] | None:
    """The group and the option of a key that is missing from a config's leaves because its option is not chosen."""
    group, _, rest = key.partition(".")
    option = rest.partition(".")[0]
    if group not in LIST_GROUPS or any(leaf.startswith(f"{group}.{option}.") for leaf in leaves):
        return None
    files = (root / group / f"{option}.yaml" for root in folders.all_folders())
    return (group, option) if any(file.is_file() for file in files) else None
