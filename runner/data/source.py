"""Where images come from: memory, or files decoded when they are read.

N images, C channels, S by S pixels; pixels are uint8 until they reach the device.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from runner.data import decoded_cache as decoded
from runner.data.decoding import Item, Resize, UnreadableImage, decode
from runner.data.unreadable import Unreadable, refuse
from runner.errors import UserError
from runner.pictures import Packed, View
from runner.stages import stage

PIECE = 32  # images that a thread decodes at a time
TOLD_PIECES = 100  # after how many pieces the progress is told
ON_THE_WAY = 4096  # images in memory between the decoder and the disk


class Source(Protocol):
    """Labeled images that can be read by index: the description of a split, in memory or as files."""

    labels: Tensor  # [N], int64
    groups: Tensor | None  # [N], int64: images of one group stay in one split
    weights: Tensor | None  # [N], float64: how often an image is drawn, relative to others

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """uint8 pixels [len(indices), C, S, S]."""

    def each(self, indices: Sequence[int]) -> list[Tensor]:
        """The same one by one, not copied where they are in memory or mapped from a file."""

    def subset(self, indices: Tensor) -> Source: ...


@dataclass
class Images:
    """Images in memory: pixels uint8 [N, C, S, S] and labels int64 [N]."""

    pixels: Tensor
    labels: Tensor
    groups: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, C, H, W = self.pixels.shape
        return C, H, W

    def read(self, indices: Sequence[int]) -> Tensor:
        return self.pixels[torch.as_tensor(indices)]

    def each(self, indices: Sequence[int]) -> list[Tensor]:
        return [self.pixels[index] for index in indices]

    def subset(self, indices: Tensor) -> Images:
        return Images(self.pixels[indices], self.labels[indices], *_rows(indices, self.groups, self.weights))


@dataclass
class Files:
    """Image files, brought to `channels` x `size` x `size` when they are read; packed whole with `whole`.

    See `runner.pictures` for packed pictures, whose short side is `size`. Pictures that are no files of their own are
    `Stored`, and not cached.
    """

    paths: Sequence[Item]
    labels: Tensor
    size: int
    channels: int = 3
    cache: Path | None = None  # folder for decoded images
    origin: Files | None = None  # the files that these were chosen from, by `indices`
    indices: Tensor | None = None
    whole: bool = False
    resize: Resize = "crop"
    groups: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return View(self.size, self.whole).shape(self.channels)

    def read(self, indices: Sequence[int]) -> Tensor:
        return torch.stack(self.each(indices))

    def each(self, indices: Sequence[int]) -> list[Tensor]:
        return [self._decode(index) for index in indices]

    def _decode(self, index: int) -> Tensor:
        return decode(self.paths[index], self.size, self.channels, self.whole, self.resize)

    def seen(self, view: View) -> Files:
        """The same files, kept otherwise."""
        return replace(self, size=view.side, whole=view.whole, origin=None, indices=None)

    def alone(self) -> Files:
        """The same files, decoded without those that they were chosen from."""
        return replace(self, origin=None, indices=None)

    def read_by_threads(self, indices: Sequence[int]) -> Tensor:
        """The same by as many threads as there are cores.

        Raises:
            UserError: images cannot be decoded; all of them are named.
        """
        pixels = torch.empty((len(indices), *self.image_shape), dtype=torch.uint8)
        self._fill(pixels, indices)
        return pixels

    def subset(self, indices: Tensor) -> Files:
        groups, weights = _rows(indices, self.groups, self.weights)
        return replace(
            self,
            paths=[self.paths[i] for i in indices.tolist()],
            labels=self.labels[indices],
            origin=self.origin or self,
            indices=indices if self.indices is None else self.indices[indices],
            groups=groups,
            weights=weights,
        )

    @cached_property
    def pixels(self) -> Tensor:
        """All images, decoded by as many threads as there are cores, or read from the cache: uint8 [N, C, S, S]."""
        if self.origin is not None:
            return self.origin.pixels[self.indices]
        everything = range(len(self))
        with stage(f"reading or decoding {len(self):,} images"):
            files = _as_files(self.paths)
            if self.cache is None or files is None:
                return self.read_by_threads(everything)
            name = decoded.key(self.cache, files, self.size, self.channels, self.whole, self.resize)
            shape = (len(self), *self.image_shape)
            return decoded.read_or_decode(self.cache, name, shape, partial(self._fill, indices=everything))

    def on_disk(self) -> Source:
        """The same images decoded in a file of the cache, which readers map; or as they are, without a cache or room.

        Raises:
            UnreadableImages: images cannot be decoded; all of them are named.
        """
        root = self.origin or self
        files, shape = _as_files(root.paths), (len(root), *root.image_shape)
        if root.cache is None or files is None or math.prod(shape) > decoded.room(root.cache):
            return self
        name = decoded.key(root.cache, files, root.size, root.channels, root.whole, root.resize)
        path = decoded.path_of(root.cache, name)
        if decoded.mapped(path, shape) is None:
            with stage(f"decoding {len(root):,} images"):
                decoded.write(root.cache, name, shape, root._decoded())
            if decoded.mapped(path, shape) is None:
                return self
        root.__dict__["unreadable"] = []
        indices = torch.arange(len(self)) if self.indices is None else self.indices
        return Mapped(path, shape, self.labels, self.groups, self.weights, indices)

    def _decoded(self) -> Iterator[Tensor]:
        """All images, some at a time, in their order."""
        found: list[Unreadable] = []
        for start in range(0, len(self), ON_THE_WAY):
            places = range(start, min(start + ON_THE_WAY, len(self)))
            pixels = torch.empty((len(places), *self.image_shape), dtype=torch.uint8)
            found += self._attempt(pixels, places, len(self), start)
            yield pixels
        refuse(found, len(self), self.cache)

    def _fill(self, pixels: Tensor, indices: Sequence[int]) -> None:
        refuse(self._attempt(pixels, indices, len(indices), 0), len(indices), self.cache)

    def _attempt(self, pixels: Tensor, indices: Sequence[int], total: int, before: int) -> list[Unreadable]:
        """Decode those images into the rows of `pixels`; those that cannot be decoded. See `_failures`."""
        rows = pixels.numpy()  # in a thread of ours torch's copies would start threads of their own

        def fill(place: int) -> None:
            rows[place] = self._decode(indices[place]).numpy()

        failures = _failures(fill, range(len(indices)), total, before)
        return [failure._replace(place=indices[failure.place]) for failure in failures]

    @cached_property
    def unreadable(self) -> list[Unreadable]:
        """The files that cannot be decoded, after all have been tried; those that could be before are trusted."""
        if "pixels" in self.__dict__:
            return []
        if self.origin is not None and not self.origin.__dict__.keys().isdisjoint(("pixels", "unreadable")):
            assert self.indices is not None
            places = {place: own for own, place in enumerate(self.indices.tolist())}
            among = [one for one in self.origin.unreadable if one.place in places]
            return [one._replace(place=places[one.place]) for one in among]
        files = _as_files(self.paths)
        name = decoded.key_of_files(files, "tried", self.channels) if self.cache and files is not None else None
        before = decoded.recall(self.cache, name) if self.cache and name else None

        def try_(place: int) -> None:
            decode(self.paths[place], self.size, self.channels, False, self.resize)

        with stage(f"trying {len(self):,} images"):
            untried: Sequence[int] = range(len(self)) if before is None else before
            found = _failures(try_, untried, len(untried))
        if self.cache and name and before != [failure.place for failure in found]:
            decoded.remember(self.cache, name, [failure.place for failure in found])
        return found


def _failures(act: Callable[[int], None], places: Sequence[int], total: int, before: int = 0) -> list[Unreadable]:
    """Do that for all places by as many threads as there are cores; those where an image cannot be read, in order.

    `total`, `before`: images of the whole work, and those that were done before, for the display.
    """

    def act_on(piece: Sequence[int]) -> list[Unreadable]:
        failures = []
        for place in piece:
            try:
                act(place)
            except UnreadableImage as error:
                failures.append(Unreadable(place, error.item, error.reason))
        return failures

    found: list[Unreadable] = []
    pieces = [places[start : start + PIECE] for start in range(0, len(places), PIECE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool, ExitStack() as telling:
        for done, failures in enumerate(pool.map(act_on, pieces), 1):
            found += failures
            if done % TOLD_PIECES == 0:
                telling.close()
                telling.enter_context(stage(f"reading images: {before + done * PIECE:,} of {total:,}"))
    return found


def _as_files(paths: Sequence[Item]) -> list[Path] | None:
    """The paths, where all are files."""
    files = [path for path in paths if isinstance(path, Path)]
    return files if len(files) == len(paths) else None


def _rows(indices: Tensor, *columns: Tensor | None) -> list[Tensor | None]:
    return [None if column is None else column[indices] for column in columns]


@dataclass
class Mapped:
    """Images decoded in a file, which every process that reads them maps for itself: uint8 [M, C, S, S].

    Args:
        shape: of the file's array.
        indices: rows of it [N], of M.
    """

    file: Path
    shape: tuple[int, ...]
    labels: Tensor
    groups: Tensor | None
    weights: Tensor | None
    indices: Tensor
    _rows: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rows = decoded.mapped(self.file, self.shape)
        if self._rows is None:
            raise UserError(f"data.cache: {self.file} is no longer there; start again, or set data.cache=null")

    def __reduce__(self) -> tuple[Any, ...]:
        return Mapped, (self.file, self.shape, self.labels, self.groups, self.weights, self.indices)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, C, H, W = self.shape
        return C, H, W

    def read(self, indices: Sequence[int]) -> Tensor:
        rows = self.indices[torch.as_tensor(indices)].numpy()
        return torch.from_numpy(np.asarray(self._rows[rows]))

    def each(self, indices: Sequence[int]) -> list[Tensor]:
        return [
            torch.from_numpy(np.asarray(self._rows[row])) for row in self.indices[torch.as_tensor(indices)].tolist()
        ]

    def subset(self, indices: Tensor) -> Mapped:
        groups, weights = _rows(indices, self.groups, self.weights)
        return Mapped(self.file, self.shape, self.labels[indices], groups, weights, self.indices[indices])


@dataclass
class Centers:
    """The squares in the middle of packed pictures, `size` pixels wide: what is looked at for statistics."""

    packed: Source
    size: int
    labels: Tensor = field(init=False)
    groups: Tensor | None = field(init=False)
    weights: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        self.labels, self.groups, self.weights = self.packed.labels, self.packed.groups, self.packed.weights

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.packed.image_shape[0], self.size, self.size

    def read(self, indices: Sequence[int]) -> Tensor:
        read = self.packed.read_by_threads if isinstance(self.packed, Files) else self.packed.read
        return Packed(read(indices)).center(self.size)

    def each(self, indices: Sequence[int]) -> list[Tensor]:
        return list(self.read(indices))

    def subset(self, indices: Tensor) -> Centers:
        return Centers(self.packed.subset(indices), self.size)


def load(source: Source) -> Images:
    """All images of a source in memory."""
    if isinstance(source, Images):
        return source
    if isinstance(source, Files):
        return Images(source.pixels, source.labels, source.groups, source.weights)
    return Images(source.read(range(len(source))), source.labels, source.groups, source.weights)
