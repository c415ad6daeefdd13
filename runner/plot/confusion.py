"""The picture of a confusion matrix. Imports no torch."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from runner.plot.pictures import GAP, INK, PAPER, Font, font_for, legible, to_png, widest

Color = tuple[int, int, int]

CORRECT, MISTAKEN = (0, 84, 159), (200, 78, 0)  # blue and orange, told apart by the color-blind too
FAINTEST = 0.12  # depth of color of the smallest share
NAMED = 100  # classes, up to which each has its name
LARGEST = 1000  # pixels of the matrix where classes have no names
KEY_BAND, KEY_STEP = 100, 200  # pixels: the width of a band of colors, and from one to the next
QUIET = (91, 99, 109)
LINE = (226, 229, 233)


def draw_confusion_matrix(counts: Sequence[Sequence[int]], class_names: Sequence[str], title: str) -> bytes:
    """A PNG of counts [K, K] (rows: true class, columns: predicted), colored by their share of the true class.

    White is zero alone. The depth grows with the square root of the share, so that 1 of 30 is seen.
    """
    table = np.asarray(counts)
    K = len(class_names)
    cell = 38 if K <= 12 else 26 if K <= 30 else 18 if K <= NAMED else max(1, LARGEST // K)
    size = 14 if K <= 30 else 12
    font = font_for("".join(class_names), size)
    names = [legible(name, font) for name in class_names] if K <= NAMED else _some_numbers(K)
    margin = widest(names, font) + 2 * GAP
    turned = margin > cell
    top = 3 * (size + GAP) + (margin if turned else size + 2 * GAP)
    left = margin + size + 2 * GAP
    key = 3 * (size + GAP)
    plain = font_for(title, size)
    width = max(left + K * cell + 2 * GAP, round(plain.getlength(title)) + 2 * GAP, 420)
    picture = Image.new("RGB", (width, top + K * cell + key + 3 * GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP), title, INK, plain)
    draw.text((left, GAP + size + GAP), "predicted class", QUIET, plain)
    _draw_turned(picture, "true class", (GAP, top), plain, QUIET)
    for k, name in enumerate(names):
        middle = (k + 0.5) * cell
        draw.text((left - GAP, top + middle), name, INK, font, anchor="rm")
        if turned:
            _draw_turned(picture, name, (left + middle - size / 2 - 2, top - GAP), font, INK, upwards=True)
        else:
            draw.text((left + middle, top - GAP), name, INK, font, anchor="ms")
    _draw_cells(draw, table, (left, top), cell, font_for("", min(size, 13)))
    fits = left + KEY_STEP + KEY_BAND + GAP + plain.getlength("mistaken") <= width
    _draw_key(draw, (left if fits else GAP, top + K * cell + 2 * GAP), plain, size)
    return to_png(picture)


def _draw_cells(draw: ImageDraw.ImageDraw, table: np.ndarray, at: tuple[int, int], cell: int, font: Font) -> None:
    """The squares, with their counts where these have room in all of them."""
    K = len(table)
    shares = table / table.sum(1, keepdims=True).clip(min=1)
    left, top = at
    edge = cell >= 8
    with_numbers = cell >= 14 and widest([str(table.max())], font) <= cell - 4
    if edge:
        for k in range(K + 1):
            draw.line([left + k * cell, top, left + k * cell, top + K * cell], LINE)
            draw.line([left, top + k * cell, left + K * cell, top + k * cell], LINE)
    for row, column in np.argwhere(table).tolist():
        x, y = left + column * cell, top + row * cell
        depth = color_depth(shares[row, column])
        box = (x + edge, y + edge, x + cell - 1, y + cell - 1)
        draw.rectangle(box, shade(CORRECT if row == column else MISTAKEN, depth))
        if with_numbers:
            middle = (x + cell / 2, y + cell / 2)
            draw.text(middle, str(table[row, column]), PAPER if depth > 0.6 else INK, font, anchor="mm")
    draw.rectangle((left, top, left + K * cell, top + K * cell), outline=QUIET)


def _draw_key(draw: ImageDraw.ImageDraw, at: tuple[int, int], font: Font, size: int) -> None:
    """What the colors are: a band for each, from none to all of a true class."""
    x, y = at
    draw.text((x, y), "share of the true class, 0 to 100%:", QUIET, font)
    y += size + GAP
    for text, color in (("correct", CORRECT), ("mistaken", MISTAKEN)):
        for step in range(KEY_BAND):
            depth = color_depth(step / (KEY_BAND - 1))
            draw.line([x + step, y, x + step, y + size], shade(color, depth))
        draw.rectangle((x, y, x + KEY_BAND, y + size), outline=LINE)
        draw.text((x + KEY_BAND + GAP, y), text, INK, font)
        x += KEY_STEP


def _draw_turned(
    picture: Image.Image, text: str, at: tuple[float, float], font: Font, color: Color, upwards: bool = False
) -> None:
    """Text that reads from below upwards; `at` is its upper left corner, or its lower left one with `upwards`."""
    _, _, width, height = (round(edge) for edge in font.getbbox(text))
    line = Image.new("RGB", (width + 1, height + 3), PAPER)
    ImageDraw.Draw(line).text((0, 0), text, color, font)
    turned = line.rotate(90, expand=True)
    x, y = at
    picture.paste(turned, (round(x), round(y - turned.height if upwards else y)))


def color_depth(share: float) -> float:
    """How deep the color of a share is, 0 to 1."""
    return FAINTEST + (1 - FAINTEST) * float(share) ** 0.5 if share > 0 else 0.0


def shade(color: Color, depth: float) -> Color:
    """The color, mixed with white."""
    r, g, b = (round(255 + (channel - 255) * depth) for channel in color)
    return r, g, b


def _some_numbers(K: int) -> list[str]:
    """About ten class numbers; the others stay without a name."""
    step = next(step for step in (20, 50, 100, 200, 500, 10 ** (len(str(K)) - 1)) if K / step <= 10)
    return [str(k) if k % step == 0 else "" for k in range(K)]
