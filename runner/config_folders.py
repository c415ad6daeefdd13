"""The folders that configs come from: our own and the user's."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from runner.errors import UserError

CONFIG_DIR = ("--config-dir", "-cd")


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


def all_folders() -> list[Path]:
    """Our own, then the user's.

    Raises:
        UserError: one does not exist.
    """
    return [folder(), *user_folders()]


def named_folders(words: Sequence[str]) -> list[Path]:
    """The folders that `--config-dir` or `-cd` names among the words of a command."""
    found = []
    for word, after in zip_longest(words, words[1:], fillvalue=""):
        flag, equals, value = word.partition("=")
        named = value if equals else after
        if flag in CONFIG_DIR and named:
            found.append(Path(named))
    return found


def is_group(key: str) -> bool:
    """Whether that key is a config group, ours or one of the user's."""
    return any((root / key).is_dir() for root in all_folders())


def option_files(group: str, roots: Sequence[Path] | None = None) -> dict[str, Path]:
    """The YAML files of a group's options by name, none first; a later folder's hides an earlier one's.

    `roots`: the folders of configs, by default all.
    """
    files = (path for root in (all_folders() if roots is None else roots) for path in (root / group).glob("*.yaml"))
    found = {path.stem: path for path in files if not path.name.startswith("_")}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "none", name))}


def group_descriptions(roots: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Each group and what it is, from the comments in the defaults of our commands; users' own groups after them."""
    lines = [line for name in ("train", "sweep") for line in (roots[0] / f"{name}.yaml").read_text().splitlines()]
    seen = set()
    for line in lines:
        match = re.match(r"\s+- (\w+): \S+ # (.*)", line)
        if match:
            seen.add(match[1])
            yield match[1], match[2]
    for root in roots[1:]:
        for path in sorted(root.iterdir()):
            if path.is_dir() and path.name not in seen:
                seen.add(path.name)
                yield path.name, "a group of your own"


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
