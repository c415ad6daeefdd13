"""Writing files: whole or not at all, never through a link, one process at a time.

A folder may come from somebody else. A name in it that a link has taken would have runner write where the link points.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from runner.errors import UserError

POLL_SECONDS = 0.005  # of waiting for a lock
TEMPORARY = re.compile(r"\..+\.([0-9]+)\.tmp")
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none, and lets administrators alone make links


def parse_json(text: str | bytes) -> Any:
    """The content of JSON that anybody may have written.

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        UserError: a link has its name.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the path when the block ends well. See `replace_file`."""
    with _new(path) as file:
        yield file
    Path(file.name).replace(path)


def write_temporary(path: Path, content: bytes | memoryview) -> Path:
    """A new file, on the disk, that may `replace` the one at the path. See `replace_file`."""
    with _new(path) as file:
        file.write(content)
        sync(file)
    return Path(file.name)


@contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    """A file beside the path that this process makes, whoever has its name; it stays when the block ends well."""
    refuse_link(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:  # which no link can lead elsewhere
            yield file
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_to_append(path: Path) -> IO[bytes]:
    """A file that is read anywhere and written at its end.

    Raises:
        UserError: a link has its name.
    """
    refuse_link(path)
    return open(path, "a+b", opener=lambda name, flags: os.open(name, flags | NO_FOLLOW, 0o666))


def refuse_link(path: Path) -> None:
    """
    Raises:
        UserError: the path is a link.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a link, and runner writes none of its files through one; remove the link")


def refuse_links(*folders: Path) -> None:
    """Hold folders that runner writes into to plain files and folders.

    Raises:
        UserError: something in one of them is a link.
    """
    for folder in folders:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for link in (entry.path for entry in entries if entry.is_symlink()):
                refuse_link(Path(link))


def remove_temporaries(*folders: Path) -> None:
    """Remove what killed processes left half written."""
    import psutil

    for path in (path for folder in folders for path in folder.glob(".*.tmp")):
        found = TEMPORARY.fullmatch(path.name)
        if found and not psutil.pid_exists(int(found[1])):
            path.unlink(missing_ok=True)


def sync(file: IO[bytes]) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; Windows does so by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_lock(path: Path) -> Any:
    """A lock on a file that serves for nothing else; `with` holds it, and waits for whoever has it.

    `acquire(timeout=seconds)` holds it until `release` or the end of the process; TimeoutError where another one does.

    Raises:
        UserError: a link has its name.
    """
    import filelock

    refuse_link(path)
    return filelock.FileLock(path, poll_interval=POLL_SECONDS)
