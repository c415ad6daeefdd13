"""Decoded image files, kept on the disk: the second start reads one memory-mapped file instead of decoding again.

A file of the cache belongs to a list of image files, each with its path, size and times, and to the size and channels
that they are brought to: whatever changes among them makes another file. Of the times, that of the content can be set
(`cp -p` and rsync do) while that of the inode cannot, so no file is rewritten unnoticed. The least recently used files
go when the cache outgrows `LIMIT_BYTES`: files that this module has written, in a folder of its own, and no others.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runner.errors import UserError
from runner.files import remove_temporaries, replace_file, replacing, sync

FORMAT = 2  # of the cache, and of how images are decoded: another number makes other files
LIMIT_BYTES = 32 * 2**30
FOLDER, TAG = "runner-decoded", "CACHEDIR.TAG"
# As https://bford.info/cachedir says, so that backups leave the folder out; the second line says whose it is.
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded images, written by runner.\n"
NAME = re.compile("[0-9a-f]{32}[.]npy")


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


def key(paths: list[Path], size: int, channels: int, whole: bool = False) -> str:
    """What a decoded array belongs to."""
    from PIL import __version__ as pillow

    told = hashlib.blake2b(
        repr((FORMAT, pillow, size, channels, *(["whole"] if whole else []))).encode(), digest_size=16
    )
    for path in paths:
        about = path.stat()
        told.update(f"{path.absolute()}\0{about.st_size}\0{about.st_mtime_ns}\0{about.st_ctime_ns}\n".encode())
    return told.hexdigest()


def read_or_decode(cache: Path, name: str, shape: tuple[int, ...], decode: Callable[[Tensor], None]) -> Tensor:
    """uint8 pixels of that shape, memory-mapped; `decode` fills them where the cache has none.

    A cache that cannot be written costs the decoding and nothing else.
    """
    path = cache / FOLDER / f"{name}.npy"
    with contextlib.suppress(Exception):  # missing, or damaged: numpy's reader has an error for every kind of rubbish
        pixels = np.lib.format.open_memmap(path, mode="c")  # copy on write: torch wants a writable array
        if pixels.shape == shape and pixels.dtype == np.uint8:
            with contextlib.suppress(OSError):  # the cache of another user, or on a disk that is only read
                os.utime(path)
            return torch.from_numpy(pixels)
    fresh = torch.empty(shape, dtype=torch.uint8)
    decode(fresh)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.parent / TAG).exists():
            replace_file(path.parent / TAG, SIGNATURE)
        with replacing(path) as file:
            np.save(file, fresh.numpy())
            sync(file)
        _make_room(path.parent, keep=path)
    return fresh


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
