"""Decoded image files, kept on the disk: the second start reads one memory-mapped file instead of decoding again.

A file of the cache belongs to the contents of a list of image files, and to what they are brought to: whatever changes
among them makes another file. What the contents are is remembered by the paths, sizes and times of the files. Of the
times, that of the content can be set (`cp -p` and rsync do) while that of the inode cannot, so no file is rewritten
unnoticed. The least recently used files go when the cache outgrows `LIMIT_BYTES`: files that this module has written,
in a folder of its own, and no others.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.errors import UserError
from runner.files import remove_temporaries, replace_file, replacing, sync
from runner.stages import stage

FORMAT = 4  # of the cache, and of how images are decoded: another number makes other files
LIMIT_BYTES = 32 * 2**30
FOLDER, TAG = "runner-decoded", "CACHEDIR.TAG"
# As https://bford.info/cachedir says, so that backups leave the folder out; the second line says whose it is.
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded images, written by runner.\n"
NAME = re.compile("[0-9a-f]{32}[.]npy")
NOTE = re.compile("[0-9a-f]{32}[.]json")  # the contents of files, and which of them cannot be decoded
MAX_NOTES = 10_000  # of a few bytes each


def folder(setting: str) -> Path | None:
    """The cache's folder; `auto` is the place where the user's caches are, none for a user without a home.

    Raises:
        UserError: it is to be in the home of a user who has none.
    """
    try:
        if setting != "auto":
            return Path(setting).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "runner"
    except RuntimeError:
        if setting == "auto":
            return None
        raise UserError(f"data.cache: no home for the ~ of {setting}; give the folder's whole path, or null") from None


def key(cache: Path, paths: list[Path], size: int, channels: int, whole: bool, resize: str) -> str:
    """What a decoded array belongs to: the contents of the files, in order, and what they are brought to.

    Contents are hashed once; later they are known by the paths, sizes and times of the files. So a folder that was
    moved or copied is not decoded again.
    """
    from PIL import __version__ as pillow

    known = key_of_files(paths, "contents")
    contents = recall(cache, known)
    if not isinstance(contents, str):
        with stage(f"looking for {len(paths):,} images in the cache"), ThreadPoolExecutor(os.cpu_count()) as pool:
            contents = hashlib.blake2b(b"".join(pool.map(_content, paths)), digest_size=16).hexdigest()
        remember(cache, known, contents)
    told = hashlib.blake2b(repr((FORMAT, pillow, size, channels, whole, resize, contents)).encode(), digest_size=16)
    return told.hexdigest()


def key_of_files(paths: list[Path], *about: object) -> str:
    """What tells these files, as they are now, from others without reading them; with what is wanted of them."""
    from PIL import __version__ as pillow

    told = hashlib.blake2b(repr((FORMAT, pillow, *about)).encode(), digest_size=16)
    for path in paths:
        stat = path.stat()
        told.update(f"{path.absolute()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\n".encode())
    return told.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError as error:  # decoding it will say so
        return hashlib.blake2b(f"{path.absolute()}\0{error}".encode(), digest_size=16).digest()


def recall(cache: Path, name: str) -> Any:
    """What was remembered under that name; None if nothing was."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((cache / FOLDER / f"{name}.json").read_text())
    return None


def remember(cache: Path, name: str, what: Any) -> None:
    """Keep plain data under that name, where the cache can be written."""
    with contextlib.suppress(OSError):
        _open_folder(cache / FOLDER)
        replace_file(cache / FOLDER / f"{name}.json", json.dumps(what))


def path_of(cache: Path, name: str) -> Path:
    """The file of a decoded array."""
    return cache / FOLDER / f"{name}.npy"


def mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """A decoded array of that shape, mapped into memory; None if there is none."""
    with contextlib.suppress(Exception):  # missing, or damaged: numpy's reader has an error for every kind of rubbish
        pixels = np.lib.format.open_memmap(path, mode="c")  # copy on write: torch wants a writable array
        if pixels.shape == shape and pixels.dtype == np.uint8:
            with contextlib.suppress(OSError):  # the cache of another user, or on a disk that is only read
                os.utime(path)
            return pixels
    return None


def room(cache: Path) -> int:
    """Bytes that one decoded array may take, for a part of the cache and of the disk."""
    place = next((folder for folder in (cache, *cache.parents) if folder.exists()), None)
    return 0 if place is None else min(LIMIT_BYTES // 2, shutil.disk_usage(place).free // 4)


def write(cache: Path, name: str, shape: tuple[int, ...], chunks: Iterator[Tensor]) -> None:
    """Write an array to the cache piece by piece, without holding it in memory; nothing where that fails.

    `chunks`: uint8 rows, in their order.
    """
    path = path_of(cache, name)
    with contextlib.suppress(OSError):
        _open_folder(path.parent)
        with replacing(path) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(chunk.numpy().data)
            sync(file)
        _make_room(path.parent, keep=path)


def read_or_decode(cache: Path, name: str, shape: tuple[int, ...], decode: Callable[[Tensor], None]) -> Tensor:
    """uint8 pixels of that shape, memory-mapped; `decode` fills them where the cache has none.

    A cache that cannot be written costs the decoding and nothing else.
    """
    path = path_of(cache, name)
    pixels = mapped(path, shape)
    if pixels is not None:
        return torch.from_numpy(pixels)
    fresh = torch.empty(shape, dtype=torch.uint8)
    decode(fresh)
    write(cache, name, shape, iter([fresh]))
    return fresh


def _open_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / TAG).exists():
        replace_file(folder / TAG, SIGNATURE)


def _make_room(folder: Path, keep: Path) -> None:
    """Remove the least recently used files beyond the limit."""
    remove_temporaries(folder)
    if (folder / TAG).read_text() != SIGNATURE:
        return
    own = [path for path in folder.iterdir() if NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink()]
    total = keep.stat().st_size
    for path in sorted(own, key=lambda path: path.stat().st_mtime, reverse=True):
        if path != keep:
            total += path.stat().st_size
            if total > LIMIT_BYTES:
                path.unlink(missing_ok=True)
    notes = [path for path in folder.iterdir() if NOTE.fullmatch(path.name) and not path.is_symlink()]
    for path in sorted(notes, key=lambda path: path.stat().st_mtime, reverse=True)[MAX_NOTES:]:
        path.unlink(missing_ok=True)
