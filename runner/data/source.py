"""Where images come from: memory, or files decoded when they are read.

N images, C channels, S by S pixels; pixels are uint8 until they reach the device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from runner.data import decoded_cache as decoded
from runner.errors import UserError
from runner.pictures import Packed, View, lying_size, pack
from runner.stages import stage

UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # modes of Pillow's
PIECE = 32  # images that a thread decodes at a time


class Source(Protocol):
    """Labeled images that can be read by index."""

    labels: Tensor  # [N], int64

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """uint8 pixels [len(indices), C, S, S]."""

    def subset(self, indices: Tensor) -> Source: ...


@dataclass
class Images:
    """Images in memory: pixels uint8 [N, C, S, S] and labels int64 [N]."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, C, H, W = self.pixels.shape
        return C, H, W

    def read(self, indices: Sequence[int]) -> Tensor:
        return self.pixels[torch.as_tensor(indices)]

    def subset(self, indices: Tensor) -> Images:
        return Images(self.pixels[indices], self.labels[indices])


@dataclass
class Files:
    """Image files, brought to `channels` x `size` x `size` when they are read; packed whole with `whole`.

    See `runner.pictures` for packed pictures, whose short side is `size`.
    """

    paths: list[Path]
    labels: Tensor
    size: int
    channels: int = 3
    cache: Path | None = None  # folder for decoded images
    origin: Files | None = None  # the files that these were chosen from, by `indices`
    indices: Tensor | None = None
    whole: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return View(self.size, self.whole).shape(self.channels)

    def read(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self._decode(i) for i in indices])

    def _decode(self, index: int) -> Tensor:
        return decode(self.paths[index], self.size, self.channels, self.whole)

    def seen(self, view: View) -> Files:
        """The same files, kept otherwise."""
        return replace(self, size=view.side, whole=view.whole, origin=None, indices=None)

    def read_by_threads(self, indices: Sequence[int]) -> Tensor:
        """The same by as many threads as there are cores."""
        pixels = torch.empty((len(indices), *self.image_shape), dtype=torch.uint8)
        self._fill(pixels, indices)
        return pixels

    def subset(self, indices: Tensor) -> Files:
        paths = [self.paths[i] for i in indices.tolist()]
        return Files(paths, self.labels[indices], self.size, self.channels, self.cache, self, indices, self.whole)

    @cached_property
    def pixels(self) -> Tensor:
        """All images, decoded by as many threads as there are cores, or read from the cache: uint8 [N, C, S, S]."""
        if self.origin is not None:
            return self.origin.pixels[self.indices]
        everything = range(len(self))
        with stage(f"reading or decoding {len(self):,} images"):
            if self.cache is None:
                return self.read_by_threads(everything)
            name, shape = decoded.key(self.paths, self.size, self.channels, self.whole), (len(self), *self.image_shape)
            return decoded.read_or_decode(self.cache, name, shape, partial(self._fill, indices=everything))

    def _fill(self, pixels: Tensor, indices: Sequence[int]) -> None:
        rows = pixels.numpy()  # in a thread of ours torch's copies would start threads of their own

        def fill(places: range) -> None:
            for place in places:
                rows[place] = self._decode(indices[place]).numpy()

        places = range(len(indices))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(fill, (places[start : start + PIECE] for start in places[::PIECE])):
                pass


@dataclass
class Centers:
    """The squares in the middle of packed pictures, `size` pixels wide: what is looked at for statistics."""

    packed: Source
    size: int
    labels: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.labels = self.packed.labels

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.packed.image_shape[0], self.size, self.size

    def read(self, indices: Sequence[int]) -> Tensor:
        read = self.packed.read_by_threads if isinstance(self.packed, Files) else self.packed.read
        return (Packed(read(indices)).center(self.size) * 255).round().to(torch.uint8)

    def subset(self, indices: Tensor) -> Centers:
        return Centers(self.packed.subset(indices), self.size)


def load(source: Source) -> Images:
    """All images of a source in memory."""
    if isinstance(source, Images):
        return source
    if isinstance(source, Files):
        return Images(source.pixels, source.labels)
    return Images(source.read(range(len(source))), source.labels)


def decode(path: Path, size: int, channels: int, whole: bool = False) -> Tensor:
    """One file as uint8 [C, size, size]: the short side scaled to `size`, then the center cut out. `whole`: packed.

    By Pillow: torchvision's decoders are deprecated since 0.29.

    Raises:
        UserError: the file cannot be decoded.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            file.draft("RGB", (size, size))  # JPEGs much larger than needed are decoded at a fraction of the cost
            ImageOps.exif_transpose(file, in_place=True)
            mode = "L" if channels == 1 else "RGB"
            picture = file if file.mode == mode else _to_8_bits(file).convert(mode)
            standing = whole and picture.height > picture.width
            wanted = lying_size(picture.width, picture.height, size) if whole else (size, size)
            wanted = wanted[::-1] if standing else wanted
            if picture.size != wanted:
                picture = ImageOps.fit(picture, wanted, Image.Resampling.BICUBIC)
            pixels = np.array(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({_reason(error)}); repair or remove the file") from None
    pixels = pixels.reshape(*wanted[::-1], channels)
    if whole:
        return torch.from_numpy(pack(pixels.swapaxes(0, 1) if standing else pixels, size, standing))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _to_8_bits(picture: Any) -> Any:
    """A picture in a mode of 8 bits that Pillow converts to all others.

    16 and 32 bits by the range of their mode, where Pillow's own conversion cuts at 255.

    Raises:
        ValueError: its numbers are not of that range.
    """
    from PIL import Image, ImageCms

    if picture.mode in UNMULTIPLIED:
        return picture.convert(UNMULTIPLIED[picture.mode])
    if picture.mode == "LAB":
        lab, srgb = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
        return ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;16"):
        return picture
    numbers = np.asarray(picture).astype(np.float64)
    white = {"I": 2**31 - 1, "F": 1.0}.get(picture.mode, 2**16 - 1) if picture.format != "PNG" else 2**16 - 1
    low, high = numbers.min(), numbers.max()
    # Integers of 32 bits that hold 0 to 255 or to 65,535 would all be black.
    if not 0 <= low <= high <= white or (picture.mode == "I" and 0 < 255 * high < white):
        raise ValueError(f"its numbers are {low:g} to {high:g}, and {white:g} is white; save it as 8 or 16 bits")
    return Image.fromarray(np.round(numbers * (255 / white)).astype(np.uint8))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height from the file's header.

    Raises:
        UserError: the file is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            return file.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({_reason(error)}); repair or remove the file") from None


def _reason(error: Exception) -> str:
    return "no known image format" if "identify" in str(error) else str(error).splitlines()[0]
