"""What tells the images of a data set from others: their number, classes, files, labels and contents."""

import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from runner.data.source import Files, Images, Source

MAX_SAMPLED = 1000  # images of a split whose contents are looked at, spread evenly
MAX_BYTES = 2**16  # of each

Fingerprint = dict[str, int | str]


def fingerprint(class_names: Sequence[str], sources: Iterable[Source]) -> Fingerprint:
    """By aspect. Of files: their paths below the folder that holds them all, and their sizes; of no more than a sample
    the contents, for reading all of them would take as long as an epoch. Of pixels in memory a sample as well.
    """
    classes, labels, names, contents = (blake2b(digest_size=8) for _ in range(4))
    classes.update("\0".join(class_names).encode())
    num_images = 0
    for source in sources:
        num_images += len(source)
        labels.update(source.labels.numpy().tobytes())
        if (weights := getattr(source, "weights", None)) is not None:
            labels.update(weights.numpy().tobytes())
        sample = range(0, len(source), max(1, len(source) // MAX_SAMPLED))
        if isinstance(source, Files):
            files = [item for item in source.paths if isinstance(item, Path)]
            top = os.path.commonpath(files) if files else ""
            for path in files:
                names.update(f"{os.path.relpath(path, top)}\0{path.stat().st_size}\n".encode())
            for place in sample:
                item = source.paths[place]
                contents.update(_beginning(item) if isinstance(item, Path) else item.content())
        elif isinstance(source, Images):
            contents.update(source.pixels[list(sample)].cpu().numpy().tobytes())
    return {
        "classes": classes.hexdigest(),
        "number of images": num_images,
        "labels": labels.hexdigest(),
        "names and sizes of files": names.hexdigest(),
        "contents of images": contents.hexdigest(),
    }


def what_changed(before: Mapping[str, Any], now: Fingerprint) -> str | None:
    """In words: the first aspect that differs among those known of both."""
    for aspect in now:
        if aspect in before and before[aspect] != now[aspect]:
            was_and_is = f" ({before[aspect]}, now {now[aspect]})" if isinstance(now[aspect], int) else ""
            return f"the {aspect} changed{was_and_is}"
    return None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)
