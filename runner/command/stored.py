"""What the commands on a stored run share: a folder, overrides, and whether to trust it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.arguments import ArgumentParser
from runner.errors import UserError
from runner.store import RUN, SWEEP, SweepFolder, find_folder
from runner.store.listing import Entry, find_entries

WEIGHTS = "best (default), last, average, snapshots, a checkpoint such as epoch-0010, or a file of runner average"
CHANGE = re.compile(r"[+~]*[A-Za-z_][\w./@]*=")  # names of runs begin with a number, or have a hyphen before the =


def add_folder(parser: ArgumentParser) -> None:
    """The argument of a command on one run or sweep."""
    parser.add_argument("folder", type=find_folder, help="its path, last, its number, or any part of its name")


def add_selection(parser: ArgumentParser, **options: Any) -> None:
    """The arguments of a command on several: `paths`, and the conditions that runs meet."""
    parser.add_argument("paths", type=find_folder, metavar="RUN", **options)
    parser.add_argument("--where", action="append", default=[], metavar="'KEY OP VALUE'", help="only runs that meet it")


def select(paths: Sequence[Path], conditions: Sequence[str]) -> list[Entry]:
    """The runs and sweeps in and under the paths; with conditions, the runs alone that meet all.

    Raises:
        UserError: a condition is none, or its key is in no run.
    """
    from runner.compare.filter import where  # here, for most commands on stored runs select none
    from runner.store.run_index import RunSummary

    entries = [entry for path in paths for entry in find_entries(path)]
    if not conditions:
        return entries
    met = {run.path for run in where([RunSummary.read(one.path) for one in entries if one.kind == "run"], conditions)}
    return [entry for entry in entries if entry.path in met]


def stored_run_parser(command: str, description: str, changes: str, example: str) -> ArgumentParser:
    """A parser of `FOLDER [KEY=VALUE ..] [--trust]`. `changes`: an example of an override."""
    parser = ArgumentParser(prog=f"runner {command}", description=description, epilog=f"example: runner {example}")
    parser.add_argument(
        "folder", type=find_folder, help="the run's folder: its path, last, its number, or any part of its name"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"changes, such as {changes}")
    parser.add_argument(
        "--trust", action="store_true", help="let the stored config build classes that are not runner's"
    )
    return parser


def begin_again(
    path: Path,
    overrides: Sequence[str],
    trust: bool,
    accept_changed_images: bool = False,
    only_report: bool = False,
) -> int:
    """Begin the sweep of that folder again on what is there, or only write its report; gives the exit status."""
    from runner import config
    from runner.command import sweep
    from runner.sweep.execution.task import folder_override
    from runner.sweep.space.overrides import merge_overrides

    folder = SweepFolder.open(path)
    record = path / SWEEP
    if not trust:
        config.check_stored_words(folder.record["overrides"], record)
    for configs in map(Path, folder.record.get("config_folders", [])):
        if not trust and configs not in config.user_folders():
            raise UserError(f"{record}: reads configs from {configs}; pass --trust if you trust both folders")
        config.add_user_folder(configs)
    words = merge_overrides(folder.record["overrides"], overrides)
    about = {"trust": trust, "accept_changed_images": accept_changed_images, "only_report": only_report}
    return sweep.main([*words, folder_override(folder), *(f"+job.{key}={value}" for key, value in about.items())])


def split_words(words: Sequence[str]) -> tuple[list[Path], list[str], list[str]]:
    """Of `RUN [RUN ..] [KEY=VALUE ..] PATH..`: the runs or sweeps, the changes, and the other words.

    The first word is a run; so are those after it that name a run's or a sweep's folder, up to the first that does not.

    Raises:
        UserError: the first word names no run.
    """
    changes = [word for word in words if CHANGE.match(word) and not Path(word).exists()]
    rest = [word for word in words if word not in changes]
    if not rest:
        return [], changes, []
    runs = [find_folder(rest[0])]
    others = rest[1:]
    while others and (found := _run_of(others[0])) is not None:
        runs.append(found)
        others = others[1:]
    return runs, changes, others


def _run_of(word: str) -> Path | None:
    """The run or sweep of that name; None where it is a file or a folder of something else, or nothing."""
    path = Path(word)
    if path.exists() or word == "-":
        return path if any((path / record).is_file() for record in (RUN, SWEEP)) else None
    try:
        found = find_folder(word)
    except UserError:
        return None
    return found if found.exists() else None


def find_members(folders: Sequence[Path]) -> list[Path]:
    """The runs of folders: of a sweep, the finals of its best configuration, or the best trial.

    Raises:
        UserError: a sweep has no finished trial.
    """
    found: list[Path] = []
    for folder in folders:
        if (folder / SWEEP).is_file():
            from runner.sweep.record.best import best_runs

            found += best_runs(SweepFolder.open(folder))
        else:
            found.append(folder)
    return found
