"""`runner options [GROUP]`: every choice there is, read from the YAML files. Imports no torch."""

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape

from runner import config
from runner.arguments import ArgumentParser
from runner.errors import UserError, did_you_mean

COMMENTED_KEY = re.compile(r"^(?P<indent>\s*)(?P<key>[a-z]\w*):\s*(?P<value>[^#]*?)\s*(?:#\s*(?P<note>.*))?$")
PLACED_BY_PACKAGE = ("experiment",)  # options whose keys belong to the whole config


@dataclass
class Option:
    """One YAML file of a group: its opening comment, with an example in its indented lines, and its keys.

    Of a key the default and the note.
    """

    name: str
    description: str
    keys: list[tuple[str, str, str]] = field(default_factory=list)
    example: list[str] = field(default_factory=list)


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
    groups = dict(config.group_descriptions(folders))
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


def options(folders: Sequence[Path], group: str) -> list[Option]:
    """The group's options by name; a later folder's hides an earlier one's of the same name."""
    return [_read(path, group) for path in config.option_files(group, folders).values()]


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
    return Option(path.stem, description, [(key, *rest) for key, rest in keys.items()], _example(text))


def _example(text: str) -> list[str]:
    """The indented lines of the opening comment, such as a tree of folders, without what all are indented by."""
    opening = list(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    indented = [line[1:] for line in opening if line.startswith("#    ")]
    return textwrap.dedent("\n".join(indented)).splitlines()


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
        for line in option.example if with_keys else []:
            console.print(f"      {escape(line)}")
        shown = [(f"{key}={value}", note) for key, value, note in option.keys] if with_keys else []
        longest = max((len(text) for text, _ in shown), default=0)
        for text, note in shown:
            console.print(f"      {escape(f'{text:<{longest}}')}  [dim]{escape(note)}[/]".rstrip())
    if not with_keys:
        console.print()
