"""Completion in bash, zsh and fish: commands, flags, groups, options, keys, their values, and runs.

`runner -sc install=SHELL` prints what the shell needs; its function asks `runner -sc complete WORDS`, the last of which
is the one to complete. Only the YAML files that are asked about are read, as text: nothing here may take long.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from runner.command.table import COMMANDS
from runner.config_folders import all_folders, folder, named_folders, option_files
from runner.errors import UserError, did_you_mean

BASH = """\
_runner() {
  local line="${COMP_LINE:0:COMP_POINT}" current="" before="" found=() words=()
  read -ra words <<< "$line"
  [[ "$line" == *" " ]] && words+=("")
  current="${words[-1]}"
  # Bash takes = and : for the ends of words, and replaces what is after them alone.
  before="${current%"${current##*[=:]}"}"
  local IFS=$'\\n'
  found=($(runner -sc complete "${words[@]:1}" 2>/dev/null))
  COMPREPLY=("${found[@]#"$before"}")
  [[ "${COMPREPLY[*]}" == *[=./,] ]] && compopt -o nospace
}
complete -o default -F _runner runner
"""
ZSH = """\
_runner() {
  local -a found
  found=("${(@f)$(runner -sc complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=(${found:#})
  if (( $#found )); then compadd -Q -S '' -- $found; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _runner runner
"""
FISH = """\
function __runner_complete
    set -l words (commandline -opc)
    runner -sc complete $words[2..] (commandline -ct) 2>/dev/null
end
complete -c runner -a '(__runner_complete)'
"""
SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
HYDRAS = ("train", "sweep", "check")
RUNS = (
    "resume",
    "test",
    "predict",
    "export",
    "average",
    "report",
    "compare",
    "list",
    "board",
    "stop",
    "tag",
    "note",
    "remove",
)
ROOT_KEYS = ("name", "seed", "output_dir", "objective.name", "objective.mode")
FLAGS = {
    "train": ("--dry-run", "--like", "--multirun", "--config-dir", "--cfg", "--info", "--help"),
    "sweep": ("--config-dir", "--cfg", "--info", "--help"),
    "check": ("--only", "--skip", "--list", "--profile", "--config-dir", "--cfg", "--info", "--help"),
    "resume": ("--trust", "--accept-changed-data", "--help"),
    "test": ("--trust", "--weights", "--data", "--calibrate", "--average", "--greedy", "--out", "--help"),
    "export": ("--format", "--out", "--quantize", "--max-drop", "--weights", "--trust", "--help"),
    "average": ("--weights", "--out", "--trust", "--help"),
    "report": ("--out", "--trust", "--help"),
    "predict": (
        *("--top", "--threshold", "--format", "--out", "--lists", "--embeddings", "--pictures", "--average"),
        *("--weights", "--trust", "--help"),
    ),
    "compare": (
        *("--by", "--metric", "--mode", "--where", "--include-search-trials", "--sort", "--format", "--html"),
        *("--figure", "--limit", "--help"),
    ),
    "list": ("--status", "--tag", "--help"),
    "board": ("--where", "--trials", "--port", "--help"),
    "stop": ("--help",),
    "tag": ("--remove", "--help"),
    "note": ("--help",),
    "remove": ("--where", "--checkpoints", "--yes", "--help"),
    "options": ("--config-dir", "--help"),
}
KEY = re.compile(r"^(\w+):\s*([^#]*?)\s*(?:#\s*(.*))?$")
DEFAULT = re.compile(r"^\s*- (?:override /?)?(\w+): ?(\S+)", re.MULTILINE)
# In a comment the values of a key stand after a colon: "Progress display: live, lines or none. auto = ..."
VALUES = re.compile(r"^[^:.]*: ((?:[\w/:]+(?: = [^.,]*)?(?:, | or )?)+)(?:\.|$)")
WITH_MEANING = re.compile(r"(?:^|[.:] )([a-z][\w/]*) = ")


def answer(words: Sequence[str]) -> int:
    """Answer what a shell asks, or print what it needs.

    Raises:
        UserError: the shell is none of these.
    """
    asked = words[1] if len(words) > 1 else "install=bash"
    if asked == "complete":
        print("\n".join(candidates(words[2:])))
        return 0
    what, _, shell = asked.partition("=")
    if what not in ("install", "uninstall") or shell not in SHELLS:
        raise UserError(f"-sc: expected install=SHELL{did_you_mean(shell, SHELLS)}")
    removal = {"bash": "complete -r runner", "zsh": "compdef -d runner", "fish": "complete -c runner -e"}
    print(SHELLS[shell] if what == "install" else removal[shell], end="" if what == "install" else "\n")
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What the last of the words can become; none where the shell is to name files."""
    *before, current = words or [""]
    if not before:
        return _starting(COMMANDS, current)
    command = before[0]
    if command not in COMMANDS:
        return []
    if current.startswith("-"):
        return _starting(FLAGS[command], current)
    if command in HYDRAS and before[-1] != "--like":
        if before[-1] == "--config-dir":
            return []
        return sorted(set(_overrides(command, before[1:], current)))
    if command == "options":
        return [word.removesuffix("=") for word in _starting([f"{group}=" for group in _groups([])], current)]
    if command in RUNS or before[-1] == "--like":
        return _runs(current)
    return []


def _starting(words: Iterable[str], begin: str) -> list[str]:
    return sorted(word for word in words if word.startswith(begin))


def _runs(begin: str) -> list[str]:
    """Folders of runs and sweeps under outputs, by their path, or by a part of their name."""
    found = Path("outputs").glob("*/*/environment.json")
    paths = [str(path.parent) for path in found if not path.with_name("check.json").exists()]
    fitting = _starting([*paths, "last"], begin)
    return fitting or sorted(path for path in paths if begin in path)


def _overrides(command: str, before: Sequence[str], current: str) -> Iterator[str]:
    """Groups with their options, keys of the chosen options, and the values of these keys."""
    roots = _roots(before)
    key, equals, value = current.partition("=")
    prefix = key[: len(key) - len(key.lstrip("+~"))]
    key = key.lstrip("+~")
    groups = _groups(roots)
    if equals and key in groups:
        yield from (f"{prefix}{key}={text}" for text in _listed(option_files(key, roots), value))
        return
    if equals:
        yield from (f"{prefix}{key}={text}" for text in _listed(_values(roots, key, before), value))
        return
    if "." not in key:
        names = [f"{group}=" for group in groups if command == "sweep" or group != "sweep"]
        yield from (prefix + name for name in _starting([*names, *(f"{name}=" for name in ROOT_KEYS)], key))
        chosen = [name.rstrip("=") for name in names if name.startswith(key)] if key else []
        for group in chosen[:1] if len(chosen) == 1 else []:
            yield from (f"{prefix}{name}=" for name in _keys(roots, group, before))
        return
    group = key.partition(".")[0]
    if group in groups:
        yield from (prefix + name for name in _starting((f"{name}=" for name in _keys(roots, group, before)), key))
    yield from _starting((f"{name}=" for name in ROOT_KEYS), key)


def _listed(names: Iterable[str], value: str) -> list[str]:
    """The names that the value can become: the last of a list, or of several, where it is one."""
    begin, comma, last = value.rpartition(",")
    begin += comma
    if not comma and value.startswith("["):
        begin, last = "[", value[1:]
    said = re.split(r"[\[,]", begin)
    return [begin + name for name in _starting(names, last) if name not in said]


def _roots(words: Sequence[str]) -> list[Path]:
    try:
        return [*all_folders(), *named_folders(words)]
    except UserError:
        return [folder(), *named_folders(words)]


def _groups(roots: Sequence[Path]) -> list[str]:
    found = {
        entry.name for root in roots or [folder()] if root.is_dir() for entry in os.scandir(root) if entry.is_dir()
    }
    return sorted(name for name in found if not name.startswith(("_", ".")))


def _chosen(roots: Sequence[Path], group: str, before: Sequence[str]) -> list[str]:
    """The options that the line chooses from a group, or else the default."""
    said = next((word.partition("=")[2] for word in reversed(before) if word.startswith(f"{group}=")), None)
    if said is None:
        defaults = [DEFAULT.findall((roots[0] / f"{name}.yaml").read_text()) for name in ("train", "sweep")]
        said = dict([*defaults[1], *defaults[0]]).get(group, "default")
    return [name for name in re.split(r"[\[\],]", said) if name]


def _keys(roots: Sequence[Path], group: str, before: Sequence[str]) -> list[str]:
    """Dotted keys of the chosen options."""
    return list(_comments(roots, group, before))


def _comments(roots: Sequence[Path], group: str, before: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The default and the comment of each key of the chosen options."""
    found: dict[str, tuple[str, str]] = {}
    for option in _chosen(roots, group, before):
        for root in roots:
            found |= _read(root / group / f"{option}.yaml", group)
    return found


def _read(path: Path, prefix: str) -> dict[str, tuple[str, str]]:
    """Keys of an option with default and comment, those of the files that it builds on first."""
    if not path.is_file():
        return {}
    text = path.read_text()
    if "@package _global_" in text:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for base in re.findall(r"^\s+- (\w+)$", text.partition("defaults:")[2].partition("\n\n")[0], re.MULTILINE):
        found |= _read(path.with_name(f"{base}.yaml"), prefix)
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        match = KEY.match(line.strip())
        if not match or match[1] in ("defaults", "_target_"):
            continue
        parents = [parent for parent in parents if parent[0] < indent]
        if not match[2]:
            parents.append((indent, match[1]))
            continue
        name = ".".join([prefix, *(parent for _, parent in parents), match[1]])
        found[name] = (match[2], match[3] or found.get(name, ("", ""))[1])
    return found


def _values(roots: Sequence[Path], key: str, before: Sequence[str]) -> list[str]:
    """What the comment of a key names as its values, and its default."""
    default, comment = _comments(roots, key.partition(".")[0], before).get(key, ("", ""))
    if default in ("true", "false"):
        return ["true", "false"]
    return list(dict.fromkeys([*values_in(comment), *([default] if default and " " not in default else [])]))


def values_in(comment: str) -> list[str]:
    """The values that a comment names.

    >>> values_in("Progress display: live, lines or none. auto = live at a terminal, else lines.")
    ['live', 'lines', 'none', 'auto']
    """
    match = VALUES.match(comment)
    named = [word.partition(" = ")[0] for word in re.split(r", | or ", match[1])] if match else []
    return [name for name in dict.fromkeys([*named, *WITH_MEANING.findall(comment)]) if not name.isdigit()]
