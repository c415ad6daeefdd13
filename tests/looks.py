"""What pictures and screens look like, as text that is compared with a recorded one.

What is recorded was looked at by a person. After a change of looks on purpose, look at the picture, and run the tests
with `--record`: they write the files anew, and the difference is in the commit. Numbers are rounded, for a new version
of matplotlib may move a place by a little.
"""

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text
from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent / "golden" / "looks"
MOST_COLORS = 64  # of one artist; the key of a color map has 256


class Looks:
    """`looks("reliability", text)` holds a text to the one that was recorded under the name."""

    def __init__(self, record: bool) -> None:
        self.record = record

    def __call__(self, name: str, text: str) -> None:
        file = FOLDER / f"{name}.txt"
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        if self.record:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        recorded = file.read_text() if file.exists() else ""
        if text != recorded:
            both = [recorded.splitlines(), text.splitlines()]
            pytest.fail("\n".join(difflib.unified_diff(*both, "recorded", "now", n=1, lineterm="")), pytrace=False)


def form_of(text: str) -> str:
    """The text with 0 for each number, and no columns: for numbers of a machine, of a clock, or of what was trained."""
    return re.sub(r" {2,}", "  ", re.sub(r"\d([\d,]*\d)?(\.\d+)?(e[-+]\d+)?", "0", text))


COLORS = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}  # the environment of a terminal with colors
STYLES = {"0": "/", "1": "bold", "2": "dim", "3": "italic", "31": "red", "32": "green", "33": "yellow", "36": "cyan"}


def styled(text: str) -> str:
    """A terminal's text with its colors as words: <green>finished</>."""

    def word(escape: re.Match[str]) -> str:
        return f"<{' '.join(STYLES.get(code, 'other') for code in escape[1].split(';'))}>"

    text = re.sub(r"\x1b\[([\d;]*)m", word, text)
    for style in set(re.findall(r"</>(<[\w ]+>)", text)):  # one cell after another
        text = re.sub(f"(?<={style})([^<]*)</>{style}", r"\1", text)
    return text


def page_of(html: str) -> str:
    """A page's body without its script, the bytes of its pictures, and the environment at its end."""
    body = html.partition("<body>")[2].partition("<script>")[0].partition("<h2>Environment</h2>")[0]
    return re.sub(r"base64,[\w+/=]+", "base64,", body)


# ---------------------------------------------------------------------------------------------------------------------
# Figures of matplotlib


def described(figure: Figure) -> str:
    """Size, panels, and in them each line, area, mark and text with its place and its look, in the order of drawing."""
    lines = [f"figure {_numbers(figure.get_size_inches())} in, {figure.dpi:g} dpi, {_color(figure.get_facecolor())}"]
    for artist in figure.get_children():
        lines += _artist(artist, "")
    return "\n".join(lines)


def _artist(artist: Any, indent: str) -> Iterator[str]:
    if not artist.get_visible() or artist is getattr(artist.axes or artist.figure, "patch", None):
        return
    deeper = indent + "  "
    if isinstance(artist, Axes):
        look = f"{_color(artist.get_facecolor())}, axis {'on' if artist.axison else 'off'}"
        yield f"{indent}panel at {_numbers(artist.get_position().bounds, 2)} {look}"
        yield f"{deeper}spines {' '.join(name for name, one in artist.spines.items() if one.get_visible())}"
        for child in artist.get_children():
            yield from _artist(child, deeper)
    elif isinstance(artist, Axis):
        yield from _axis(artist, indent)
    elif isinstance(artist, Legend):
        yield f"{indent}legend at {artist._loc}, frame {artist.get_frame_on()}, columns {artist._ncols}"
        for handle, text in zip(artist.legend_handles, artist.get_texts(), strict=True):
            for part in (handle, text):
                yield from _artist(part, deeper)
    elif isinstance(artist, Text):
        if artist.get_text():
            yield f"{indent}{_text(artist)}"
    elif isinstance(artist, Line2D):
        places = _numbers(artist.get_xydata().ravel())
        marker = f"marker {artist.get_marker()} {_color(artist.get_markeredgecolor())} {artist.get_markersize():g}"
        look = f"{artist.get_linestyle()} {artist.get_linewidth():g} {artist._dash_pattern}"
        yield f"{indent}line {_color(artist.get_color())} {look} {marker} {_common(artist)} through {places}"
    elif isinstance(artist, LineCollection):
        places = " | ".join(_numbers(one.ravel()) for one in artist.get_segments())
        yield f"{indent}lines {_collected(artist)} through {places}"
    elif isinstance(artist, PathCollection):
        shape = f"of {len(artist.get_paths()[0])} corners, sizes {_numbers(artist.get_sizes())}"
        yield f"{indent}dots {shape} {_collected(artist)} at {_numbers(artist.get_offsets().ravel())}"
    elif isinstance(artist, Collection):
        paths = artist.get_paths() if len(artist.get_paths()) <= MOST_COLORS else artist.get_paths()[:1]
        corners = " | ".join(_numbers(path.vertices.ravel()) for path in paths)
        yield f"{indent}area {_collected(artist)} of {corners}"
    elif isinstance(artist, AxesImage):
        yield f"{indent}image {artist.get_array().shape} {artist.cmap.name} {_numbers(artist.get_clim())}"
    elif isinstance(artist, Patch) and not isinstance(artist, Spine):
        look = f"{_color(artist.get_facecolor())} {_color(artist.get_edgecolor())} {artist.get_linewidth():g}"
        box = artist.get_extents().transformed(artist.axes.transData.inverted()) if artist.axes else None
        yield f"{indent}patch {look} {artist.get_linestyle()} {_common(artist)} in {box and _numbers(box.extents)}"


def _axis(axis: Axis, indent: str) -> Iterator[str]:
    yield f"{indent}{axis.axis_name}: {axis.get_scale()} from {_numbers(axis.get_view_interval())}"
    if not axis.axes.axison:
        return
    ticks = [*axis.get_major_ticks()]
    placed = zip(axis.get_majorticklocs(), ticks, strict=True)
    named = ", ".join(f"{place:.4g} {tick.label1.get_text()!r}" for place, tick in placed)
    yield f"{indent}  ticks {named}; {len(axis.get_minorticklocs())} smaller"
    if ticks:
        first = ticks[0]
        mark, text = first.tick1line, first.label1
        look = f"{mark.get_visible()} {mark.get_markersize():g}, texts {text.get_visible()}"
        grid = first.gridline
        alpha = f"{_color(grid.get_color())} {grid.get_linewidth():g} {grid.get_alpha()}"
        yield f"{indent}  ticks {look} {_style(text)}; grid {alpha if grid.get_visible() else 'none'}"
    if axis.get_label_text():
        yield f"{indent}  {axis.get_label_text()!r} {_style(axis.label)}"  # its place follows from the font
    if axis.get_offset_text().get_text():
        yield f"{indent}  {axis.get_offset_text().get_text()!r} {_style(axis.get_offset_text())}"


def _text(text: Text) -> str:
    return f"text {text.get_text()!r} at {_numbers(text.get_position())} {_style(text)}"


def _style(text: Text) -> str:
    turn = f" turned {text.get_rotation():g}" if text.get_rotation() else ""
    side = f"{text.get_horizontalalignment()} {text.get_verticalalignment()}"
    behind = text.get_bbox_patch()
    box = f" on {_color(behind.get_facecolor())} {_color(behind.get_edgecolor())}" if behind else ""
    return f"{_color(text.get_color())} {text.get_fontsize():g} {text.get_fontweight()} {side}{turn}{box}"


def _collected(artist: Collection) -> str:
    faces, edges = ([_color(color) for color in colors] for colors in (artist.get_facecolor(), artist.get_edgecolor()))
    if len(faces) > MOST_COLORS:
        faces = [faces[0], faces[len(faces) // 2], faces[-1], f"of {len(faces)}"]
    look = f"{' '.join(faces) or 'none'}, {' '.join(edges) or 'none'}, {_numbers(artist.get_linewidth())}"
    return f"{look} {_common(artist)}"


def _common(artist: Any) -> str:
    label = str(artist.get_label())
    name = "" if label.startswith("_") or not label else f" {label!r}"
    return f"alpha {artist.get_alpha()} order {artist.get_zorder():g}{name}"


def _color(color: Any) -> str:
    return str(to_hex(color, keep_alpha=True)) if str(color) != "auto" else "auto"


def _numbers(values: Any, digits: int = 3) -> str:
    return " ".join(f"{round(float(value), 9) + 0.0:.{digits}g}" for value in values)


@contextmanager
def figures_kept() -> Iterator[list[Figure]]:
    """The figures that are saved meanwhile, each drawn once, so that its panels have their places."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: Any, **options: Any) -> None:
        save(self, *args, **options)
        kept.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        yield kept


# ---------------------------------------------------------------------------------------------------------------------
# Pictures of Pillow


@contextmanager
def strokes_kept() -> Iterator[list[str]]:
    """What is drawn with Pillow meanwhile, a line each: text, lines, rectangles, and pictures put into others."""
    kept: list[str] = []

    def keep(owner: type, method: str) -> None:
        original = getattr(owner, method)

        def call(self: Any, *args: Any, **options: Any) -> Any:
            said = [_plain(value) for value in args] + [f"{key}={_plain(value)}" for key, value in options.items()]
            kept.append(f"{method} {' '.join(said)}")
            return original(self, *args, **options)

        patch.setattr(owner, method, call)

    with pytest.MonkeyPatch.context() as patch:
        for method in ("line", "rectangle", "text"):
            keep(ImageDraw.ImageDraw, method)
        for method in ("paste", "resize", "rotate", "save"):
            keep(Image.Image, method)
        yield kept


def _plain(value: Any) -> str:
    if isinstance(value, str | int | bool):
        return repr(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return f"({' '.join(map(_plain, value))})"
    if isinstance(value, Image.Image):
        return f"[{value.mode} {value.width} x {value.height}]"
    size = getattr(value, "size", None)
    return f"{type(value).__name__}{'' if size is None else f' {size}'}"
