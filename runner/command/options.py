"""`runner options [GROUP]`: every choice there is, read from the YAML files. Imports no torch."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape

from runner import config
from runner.arguments import ArgumentParser
from runner.command.table import COMMANDS
from runner.errors import UserError, did_you_mean

COMMENTED_KEY = re.compile(r"^(?P<indent>\s*)(?P<key>[a-z]\w*):\s*(?P<value>[^#]*?)\s*(?:#\s*(?P<note>.*))?$")
PLACED_BY_PACKAGE = ("experiment",)  # options whose keys belong to the whole config

HELP = """\
runner {command} [KEY=VALUE ...] - {summary}

{examples}

groups and their options (runner options GROUP shows the keys):
{groups}

flags: {flags}--cfg job shows the composed config, --info how it came about;
--config-dir DIR adds a folder of your own configs; --hydra-help lists the rest."""

FLAGS = {
    "train": """\
-m runs every combination of values; --dry-run builds everything, shows the network and writes nothing;
--like RUN [CHANGES] begins from what was said for an old run; """,
    "sweep": "",
}


EXAMPLES = {
    "train": """\
Choose an option of any group, change any key of the chosen ones:
  runner train model=mlp optimizer=momentum optimizer.lr=0.1
  runner train reg=[l2,dropout] reg.dropout.p=0.3
  runner train -m optimizer=sgd,adam seed=1,2""",
    "sweep": """\
As runner train, with ranges for some of the keys, or a space from the group sweep:
  runner sweep sweep=lr_l2 model=mlp
  runner sweep optimizer.lr='loguniform(1e-5,1e-1)' reg=l2 reg.l2.strength='loguniform(1e-6,1e-1)'
  runner sweep optimizer=sgd,adam optimizer.lr='loguniform(1e-5,1)' sweep.num_workers=2
Ranges: uniform(a,b), loguniform(a,b), randint(a,b), and a,b,c for choices; with more words tag(WORDS,interval(a,b)):
log, zero_or for 0 as well, one_minus for momenta, hard for never widened. runner resume FOLDER continues a sweep.""",
}


@dataclass
class Option:
    """One YAML file of a group: its opening comment and its keys with default and note."""

    name: str
    description: str
    keys: list[tuple[str, str, str]] = field(default_factory=list)


def main(words: Sequence[str]) -> int:
    """Print the groups, or one group's options with their keys."""
    parser = ArgumentParser(
        prog="runner options",
        description="List the config groups and their options; with a group, its options' keys and defaults too.",
    )
    parser.add_argument("group", nargs="?", metavar="GROUP[=OPTION]")
    parser.add_argument("--config-dir", type=Path, action="append", default=[], help="a folder of your own configs")
    arguments = parser.parse_args(list(words))
    folders = [*config.all_folders(), *arguments.config_dir]
    groups = dict(group_descriptions(folders))
    console = Console(soft_wrap=True, highlight=False)
    chosen, equals, option = (arguments.group or "").partition("=")
    if chosen and chosen not in groups:
        raise UserError(f"{chosen}: no such group{did_you_mean(chosen, groups)}")
    for group in [chosen] if chosen else groups:
        members = options(folders, group)
        if equals:
            members = [member for member in members if member.name in option.strip("[]").split(",")]
        if equals and not members:
            known = [member.name for member in options(folders, group)]
            raise UserError(f"{chosen}={option}: no such option{config.option_hint(chosen, option, known)}")
        console.print(f"[bold]{group}[/]  [dim]{escape(groups[group])}[/]")
        _show(console, members, with_keys=bool(chosen))
    if not chosen:
        console.print("[dim]runner options GROUP shows keys and defaults[/]")
    return 0


def asks_for_help(words: Sequence[str]) -> bool:
    return bool({"-h", "--help"} & set(words))


def command_help(command: str) -> str:
    """What `runner COMMAND --help` says of a command whose arguments are config choices."""
    folders = config.all_folders()
    groups = dict(group_descriptions(folders))
    if command != "sweep":
        groups.pop("sweep")
    width = max(map(len, groups))
    lines = (f"  {group:<{width}}  {' '.join(option.name for option in options(folders, group))}" for group in groups)
    summary = COMMANDS[command].summary
    text = {"summary": summary, "examples": EXAMPLES[command], "flags": FLAGS[command]}
    return HELP.format(command=command, groups="\n".join(lines), **text)


def group_descriptions(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Each group and what it is, from the comments in the defaults of our commands; users' own groups after them."""
    lines = [line for name in ("train", "sweep") for line in (folders[0] / f"{name}.yaml").read_text().splitlines()]
    seen = set()
    for line in lines:
        match = re.match(r"\s+- (\w+): \S+ # (.*)", line)
        if match:
            seen.add(match[1])
            yield match[1], match[2]
    for folder in folders[1:]:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and path.name not in seen:
                seen.add(path.name)
                yield path.name, "a group of your own"


def options(folders: Sequence[Path], group: str) -> list[Option]:
    """The group's options by name; a later folder's hides an earlier one's of the same name."""
    found = {
        path.stem: _read(path, group)
        for folder in folders
        for path in sorted((folder / group).glob("*.yaml"))
        if not path.name.startswith("_")
    }
    return [found[name] for name in sorted(found, key=lambda name: (name != "none", name))]


def _read(path: Path, group: str) -> Option:
    if wrong := config.odd_file([path]):
        raise UserError(wrong)
    text = path.read_text()
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    description = next((line for line in comments if line and not line.startswith("@package")), "")
    prefix = "" if group in PLACED_BY_PACKAGE or "@package _global_" in text else f"{group}."
    keys: dict[str, tuple[str, str]] = {}
    for key, value, note in _keys(path, prefix):
        keys[key] = (value, note or keys.get(key, ("", ""))[1])
    return Option(path.stem, description, [(key, *rest) for key, rest in keys.items()])


def _keys(path: Path, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Leaf keys with their default and comment, those of the files it builds on first."""
    content: Any = yaml.safe_load(path.read_text()) or {}
    for default in content.get("defaults", []):
        if isinstance(default, str) and default != "_self_":
            yield from _keys(path.with_name(f"{default}.yaml"), prefix)
        elif isinstance(default, dict):
            yield from ((key.removeprefix("override /"), str(value), "") for key, value in default.items())
    parents: list[tuple[int, str]] = []
    for line in path.read_text().splitlines():
        match = COMMENTED_KEY.match(line)
        if not match or match["key"] == "defaults":
            continue
        indent = len(match["indent"])
        parents = [parent for parent in parents if parent[0] < indent]
        if match["value"] == "":
            parents.append((indent, match["key"]))
            continue
        dotted = ".".join([*(name for _, name in parents), match["key"]])
        yield prefix + dotted, match["value"], match["note"] or ""


def _show(console: Console, members: Sequence[Option], with_keys: bool) -> None:
    """Print the options of a group, with their keys or an empty line at the end."""
    width = max([len(option.name) for option in members], default=0)
    for option in members:
        console.print(f"  [cyan]{option.name:<{width}}[/]  {escape(option.description)}")
        shown = [(f"{key}={value}", note) for key, value, note in option.keys] if with_keys else []
        longest = max((len(text) for text, _ in shown), default=0)
        for text, note in shown:
            console.print(f"      {escape(f'{text:<{longest}}')}  [dim]{escape(note)}[/]".rstrip())
    if not with_keys:
        console.print()
