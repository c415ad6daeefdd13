"""Image files, and pictures that a data set stores otherwise, as uint8 pixels of one size.

C channels, `size` the side of the square.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from runner.errors import UserError
from runner.pictures import lying_size, pack

UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # modes of Pillow's

Resize = Literal["crop", "squish", "pad"]


class Stored(Protocol):
    """A picture that is no file of its own: a row of a table, an entry of a data set. Its text names it."""

    def open(self) -> AbstractContextManager[Any]:
        """The picture, as Pillow's."""

    def content(self) -> bytes:
        """What tells it from others."""


Item = Path | Stored


class UnreadableImage(UserError):
    """An image that cannot be decoded: which, and why."""

    def __init__(self, item: Item, reason: str) -> None:
        super().__init__(f"{item}: not a readable image ({reason}); repair or remove the file")
        self.item, self.reason = str(item), reason


def decode(item: Item, size: int, channels: int, whole: bool = False, resize: Resize = "crop") -> Tensor:
    """One picture as uint8 [C, size, size]; `whole`: packed, as `runner.pictures` describes it.

    crop: the short side scaled to `size`, then the center cut out. squish: both sides scaled to `size`. pad: the long
    side scaled to `size`, black beside the picture. What is packed whole is the picture of `crop`, not
    enlarged, and else the square.

    By Pillow: torchvision's decoders are deprecated since 0.29.

    Raises:
        UnreadableImage: it cannot be decoded.
    """
    from PIL import ImageOps

    try:
        with _opened(item) as file:
            file.draft("RGB", (size, size))  # JPEGs much larger than needed are decoded at a fraction of the cost
            ImageOps.exif_transpose(file, in_place=True)
            mode = "L" if channels == 1 else "RGB"
            picture = file if file.mode == mode else _to_8_bits(file).convert(mode)
            lies_whole = whole and resize == "crop"
            wanted = lying_size(picture.width, picture.height, size) if lies_whole else (size, size)
            wanted = wanted[::-1] if lies_whole and picture.height > picture.width else wanted
            pixels = np.array(_brought_to(picture, wanted, resize))
    except Exception as error:  # of a damaged file: whatever the reader of its format stumbles over
        raise UnreadableImage(item, _reason(error)) from None
    pixels = pixels.reshape(*wanted[::-1], channels)
    if whole:
        return torch.from_numpy(pack(pixels, size))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def left_out(width: int, height: int, resize: Resize) -> float:
    """The share of a picture's pixels that the square does not show."""
    return 1 - min(width, height) / max(width, height) if resize == "crop" else 0.0


def size_of(item: Item) -> tuple[int, int]:
    """Width and height from the file's header.

    Raises:
        UnreadableImage: the file is no image.
    """
    try:
        with _opened(item) as file:
            width, height = file.size
            return width, height
    except Exception as error:
        raise UnreadableImage(item, _reason(error)) from None


def _opened(item: Item) -> AbstractContextManager[Any]:
    from PIL import Image

    return Image.open(item) if isinstance(item, Path) else item.open()


def _brought_to(picture: Any, wanted: tuple[int, int], resize: Resize) -> Any:
    """A picture of that width and height."""
    from PIL import Image, ImageOps

    if picture.size == wanted:
        return picture
    if resize == "crop":
        return ImageOps.fit(picture, wanted, Image.Resampling.BICUBIC)
    if resize == "squish":
        return picture.resize(wanted, Image.Resampling.BICUBIC)
    return ImageOps.pad(picture, wanted, Image.Resampling.BICUBIC, color=0)


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


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return "no known image format" if "identify" in text else (text.splitlines() or [type(error).__name__])[0]
