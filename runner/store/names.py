"""Names of the folders that runs and sweeps leave: made, and found again by a part of them."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.errors import UserError, is_full_disk, reason

ROOT = Path("outputs")  # where folders are looked for that are named in part
# With a dot before it while a process makes it; not the times that were names in version 0.1.
NUMBERED = re.compile(r"\.?(\d{4,})(?!-\d\d-\d\d_)(?:-.*)?")
MAX_LENGTH = 80
CHECK = "check.json"  # in the folders of runner check, which are no runs
SHOWN = 8  # of the folders that a word fits


def make_folder(root: Path, name: str, said: Sequence[str] = ()) -> Path:
    """A new folder `root/name/NNNN-<said>`, of a number that no other folder of that name has.

    Raises:
        UserError: it cannot be made there.

    Creating a folder is atomic on every file system, shared ones too: whoever creates `.NNNN` has the number, unless
    another process had it and has renamed its folder already.
    """
    parent = root / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        os.scandir(parent).close()
    except OSError as error:
        if is_full_disk(error):
            raise
        raise UserError(f"output_dir: {parent} cannot be made ({reason(error)}); name another folder") from None
    number = 1 + max(_numbers(parent), default=0)
    while not _take(parent, number):
        number += 1
    path = parent / "-".join([f"{number:04d}", *said])[:MAX_LENGTH].rstrip("-._+=")
    return (parent / f".{number:04d}").rename(path)


def _take(parent: Path, number: int) -> bool:
    """Whether the number is this process's own now."""
    claim = parent / f".{number:04d}"
    try:
        claim.mkdir()
    except FileExistsError:
        return False
    except PermissionError as error:
        raise UserError(f"output_dir: {parent} cannot be written ({reason(error)}); name another folder") from None
    if list(_numbers(parent)).count(number) == 1:
        return True
    claim.rmdir()
    return False


def _numbers(parent: Path) -> Iterator[int]:
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries]
    return (number for name in names if (number := number_of(name)) is not None)


def find_folder(word: str | Path) -> Path:
    """The folder of a run or sweep that a word names: a path, `last`, a number, or a part of one folder's name.

    A path that is none is given back as it is, for the caller to say what it expected.

    Raises:
        UserError: several folders have that in their names.
    """
    path, text = Path(word), str(word)
    if path.exists():
        return path
    folders = sorted(path.parent for path in ROOT.glob("*/*/environment.json") if not path.with_name(CHECK).exists())
    if text == "last" and folders:
        return max(folders, key=lambda folder: (folder / "environment.json").stat().st_mtime_ns)  # written at the start
    name, _, number = text.rpartition("/")
    if number.isdecimal():
        found = [one for one in folders if number_of(one.name) == int(number) and name in ("", one.parent.name)]
    else:
        found = [one for one in folders if text in f"{one.parent.name}/{one.name}"]
    if len(found) > 1:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UserError(f"{text}: names several folders: {', '.join(map(str, found[:SHOWN]))}{more}; say more of one")
    return found[0] if found else path


def number_of(name: str) -> int | None:
    """The number in the name of a folder that `make_folder` has made or is making."""
    match = NUMBERED.fullmatch(name)
    return int(match[1]) if match else None
