"""Features of images, kept on the disk: the next run on the same images and weights reads them.

The name of a file is a hash of all that decides what is in it. The least recently used files go beyond `LIMIT_BYTES`.
"""

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from runner.data.decoded_cache import folder
from runner.files import replace_file

FORMAT = 1  # of the files: another number makes other files
FOLDER = "runner-features"
NAME = re.compile("[0-9a-f]{32}[.]pt")
LIMIT_BYTES = 8 * 2**30


def path(setting: str, facts: Sequence[str]) -> Path | None:
    """The file of the features that these facts decide; None without a folder for it."""
    place = folder(setting)
    name = hashlib.sha256("\n".join([str(FORMAT), *facts]).encode()).hexdigest()[:32]
    return None if place is None else place / FOLDER / f"{name}.pt"


def read(file: Path) -> tuple[Tensor, Tensor] | None:
    """Features [N, ...] and labels [N]; None where they are not there, or cannot be read."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        found = content["values"], content["labels"]
    except Exception:  # a damaged file is computed again
        return None
    with contextlib.suppress(OSError):
        os.utime(file)
    return found


def write(file: Path, values: Tensor, labels: Tensor) -> None:
    content = io.BytesIO()
    torch.save({"values": values.cpu(), "labels": labels.cpu()}, content)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, content.getvalue())
    _remove_oldest(file.parent)


def _remove_oldest(place: Path) -> None:
    own = [(file, file.stat()) for file in place.iterdir() if NAME.fullmatch(file.name)]
    total = sum(status.st_size for _, status in own)
    for file, status in sorted(own, key=lambda one: one[1].st_mtime)[:-1]:
        if total <= LIMIT_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= status.st_size
