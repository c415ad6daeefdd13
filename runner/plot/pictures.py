"""Pictures of images with captions, and what pictures with text share. Imports no torch.

They are drawn by Pillow in some milliseconds, so that they can be drawn while a network trains.
"""

import importlib.util
import io
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

INK, PAPER = (28, 30, 33), (255, 255, 255)
GAP = 6  # pixels between images, and around text
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_images(
    images_NHWC: NDArray[np.uint8], captions: Sequence[str], columns: int = 4, side: int = 80, font_size: int = 12
) -> bytes:
    """A PNG of images in rows, each enlarged by a whole number to about `side` pixels, with its caption below.

    As wide as a card of TensorBoard's, which would make a wider one smaller, and its text illegible.

    Args:
        images_NHWC: N images of H x W pixels, with one channel or three.
        captions: N texts; a line is cut where it is wider than its image. None where there is nothing to say.
    """
    N, H, W, C = images_NHWC.shape
    scale = max(1, round(side / max(H, W)))
    font = font_for("".join(captions), font_size)
    lines = [caption.split("\n") for caption in captions]
    text_height = max(map(len, lines), default=0) * (font_size + 3)
    width, height = max(W * scale, side) + GAP, H * scale + GAP + text_height
    rows = math.ceil(N / columns)
    picture = Image.new("RGB", (min(N, columns) * width + GAP, rows * height + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    for index, pixels in enumerate(images_NHWC):
        x, y = GAP + index % columns * width, GAP + index // columns * height
        image = Image.fromarray(pixels[..., 0] if C == 1 else pixels).convert("RGB")
        picture.paste(image.resize((W * scale, H * scale), Image.Resampling.NEAREST), (x, y))
        for number, line in enumerate(lines[index] if lines else []):
            text = fitting(legible(line, font), font, width - GAP)
            draw.text((x, y + H * scale + 2 + number * (font_size + 3)), text, INK, font)
    return to_png(picture)


def to_png(picture: Image.Image) -> bytes:
    """The picture as a file. Small pictures need no strong compression, which takes most of the time."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=3)
    return file.getvalue()


def font_for(text: str, size: int) -> Font:
    """A font that has all characters of the text: matplotlib's own, else one of the machine's, if there is one."""
    return _font_for(frozenset(text), size)


@lru_cache(64)
def _font_for(characters: frozenset[str], size: int) -> Font:
    text = "".join(characters)
    about = importlib.util.find_spec("matplotlib")
    own = Path(str(about and about.origin)).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    if not own.exists():
        return ImageFont.load_default(size)
    font = ImageFont.truetype(str(own), size)
    missing = _missing(text, font)
    if not missing:
        return font
    from matplotlib.font_manager import fontManager  # here, for looking through the machine's fonts takes a second

    # A last-resort font draws each character as a box.
    for path in sorted({entry.fname for entry in fontManager.ttflist if "LastResort" not in entry.fname}):
        try:
            other = ImageFont.truetype(path, size)
        except OSError:
            continue
        if not _missing(text, other):
            return other
    return font


def legible(text: str, font: Font) -> str:
    """The text with its code in place of each character that the font lacks, such as U+4E2D, instead of a box."""
    missing = _missing(text, font)
    return "".join(f"U+{ord(char):04X}" if char in missing else char for char in text)


def _missing(text: str, font: Font) -> set[str]:
    """The characters that the font draws as it draws one that does not exist."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return {char for char in text if ord(char) > 255}
    unknown = bytes(font.getmask("\U0010ffff"))
    return {char for char in set(text) if char.isprintable() and bytes(font.getmask(char)) == unknown}


def fitting(text: str, font: Font, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def widest(texts: Iterable[str], font: Font) -> int:
    """Pixels of the widest text."""
    return math.ceil(max(map(font.getlength, texts), default=0))
