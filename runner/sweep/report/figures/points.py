"""The picture of a sweep's points over its keys, with the boxes in which the rounds drew them."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.sweep.record.journal import Standing
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shows_score
from runner.sweep.report.figures.importance import Importance, foremost, left_out
from runner.sweep.report.figures.panels import (
    INK,
    QUIET,
    STAR,
    Nothing,
    bands_of,
    colour_of,
    colours,
    dress,
    grey,
    round_title,
    scattered,
    span_of,
    status_legend,
)
from runner.sweep.report.history import Course
from runner.sweep.strategy.plan import Record

MOST_PAIRED = 4  # keys in a grid of pairs
MOST_NAMED = 6  # boxes of a panel; of more, one of each round is


def read_points(course: Course, weight: Importance | str = "") -> str:
    if len(course.keys) == 1:
        return "Every trial by its value and its score; the bands are the ranges of the rounds, the star is the best."
    boxes = "" if all(key_axis(course, key).options for key in course.keys) else " The boxes are the rounds' ranges."
    return (
        f"Every trial at its values, darker where the score is better, larger in later rounds.{boxes} The star is "
        f"the best setting.{left_out(course, weight, MOST_PAIRED)}"
    )


@dataclass(frozen=True)
class Box:
    """What a round searches of two keys, as t."""

    record: Record
    x: tuple[float, float]
    y: tuple[float, float]


def draw_points(course: Course, weight: Importance | str = "") -> Any:
    """The points of all rounds over the keys: one panel for two keys, a grid of pairs for the most important of more.

    Raises:
        Nothing: no trial was queued.
    """
    from matplotlib.figure import Figure

    if not course.trials:
        raise Nothing("no trial was queued")
    keys = _foremost(course, weight)
    axes = [key_axis(course, key) for key in keys]
    scores = score_axis(course)
    if len(keys) == 1:
        if scores is None:
            raise Nothing("no trial has a score")
        figure = Figure(figsize=(8.6, 5.2), layout="constrained")
        panel = figure.subplots()
        _draw_pair(panel, course, axes[0], scores, scores, bands=True)
        panels, rest = [[panel]], None
    elif len(keys) == 2:
        figure = Figure(figsize=(8.6, 5.6), layout="constrained")
        panel = figure.subplots()
        _draw_pair(panel, course, axes[0], axes[1], scores)
        panels, rest = [[panel]], None
    else:
        side = len(keys) - 1
        figure = Figure(figsize=(1.6 + 2.9 * side, 1.0 + 2.6 * side), layout="constrained")
        grid = figure.subplots(side, side, squeeze=False)
        for row, column in itertools.product(range(side), range(side)):
            if column > row:
                grid[row][column].axis("off")
            else:
                _draw_pair(grid[row][column], course, axes[column], axes[row + 1], scores, small=True)
                if row < side - 1:
                    grid[row][column].set_xlabel("")
                    grid[row][column].tick_params(labelbottom=False)
                if column:
                    grid[row][column].set_ylabel("")
                    grid[row][column].tick_params(labelleft=False)
        panels, rest = [[grid[r][c] for c in range(r + 1)] for r in range(side)], grid[0][side - 1]
    flat = [panel for row in panels for panel in row]
    for panel in panels[0]:  # room for the rounds' names
        panel.set_title("\n" * len(bands_of(course, axes[0])) + " " if len(keys) == 1 else " ", fontsize=10)
    if scores is not None and len(keys) > 1:
        _add_colour_bar(figure, flat, scores, course, rest)
    _add_legend(figure, status_legend(course), rest)
    if rest is not None:
        others = textwrap.fill(left_out(course, weight, MOST_PAIRED).strip(), 44, break_long_words=False)
        rest.text(1, 0.4, others, ha="right", va="top", color=QUIET, fontsize=8.5)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    if len(keys) == 1:
        _label_bands(flat[0], course, axes[0])
    for row, line in enumerate(panels if len(keys) > 1 else []):
        for column, panel in enumerate(line):
            y = axes[1] if len(keys) == 2 else axes[row + 1]
            _label_boxes(panel, course, boxes(course, axes[column], y), axes[column], y, short=len(keys) > 2)
    return figure


def boxes(course: Course, x: Axis, y: Axis) -> list[Box]:
    """The boxes of all rounds: of each, one for every two dimensions that its points were drawn from together."""
    found: list[Box] = []
    if x.options and y.options:
        return found
    for record in course.searches:
        for trial in course.of_round(record):
            spans = [span_of(course, record, trial, axis) for axis in (x, y)]
            if spans[0] and spans[1] and (box := Box(record, spans[0], spans[1])) not in found:
                found.append(box)
    return found


def _draw_pair(
    panel: Any, course: Course, x: Axis, y: Axis, scores: Axis | None, small: bool = False, bands: bool = False
) -> None:
    from matplotlib.patches import Rectangle

    dress(panel, x, "x", 5 if small else 8)
    dress(panel, y, "y", 5 if small else 8)
    if bands:
        for place, (record, span) in enumerate(bands_of(course, x)):
            panel.axvspan(*span, color="0.2", alpha=0.05, linewidth=0, gid=f"round {record['index']}")
            for bound in span:
                panel.axvline(bound, color=grey(place, len(course.searches)), linewidth=0.8)
    else:
        for box in boxes(course, x, y):
            place = course.searches.index(box.record)
            (left, right), (bottom, top) = box.x, box.y
            shape: dict[str, Any] = {"xy": (left, bottom), "width": right - left, "height": top - bottom}
            panel.add_patch(Rectangle(**shape, facecolor="0.2", alpha=0.035, linewidth=0, zorder=0.5))
            edge = grey(place, len(course.searches))
            gid = f"round {box.record['index']}"
            panel.add_patch(Rectangle(**shape, fill=False, edgecolor=edge, linewidth=1.1, zorder=1, gid=gid))
    if bands and any(trial.status in ("failed", "diverged") for trial in course.trials):
        panel.set_ylim(y.low - 0.1 * y.width, y.limits[1])
    size = (0.45 if small else 1.0) * min(1.0, max(0.4, 12 / max(1, len(course.trials)) ** 0.5))
    last = max(1, len(course.searches) - 1)
    crosses: dict[str, list[tuple[float, float]]] = {"failed": [], "diverged": []}
    dots: list[tuple[tuple[float, float], float, Any, Any, float]] = []
    for trial in sorted(course.trials, key=lambda trial: trial.round):
        if course.rounds[trial.round]["kind"] == "finals" and not bands:
            continue  # at the places of the trials that they repeat
        at = _position(course, trial, x, y, bands)
        if at is None:
            continue
        if trial.status in crosses:
            crosses[trial.status].append(at)
        elif scores is not None and shows_score(trial.status) and trial.score is not None:
            colour = colour_of(scores, course, trial.score)
            style = ("white", colour, 1.4) if trial.status == "stopped" else (colour, "white", 0.7)
            dots.append((at, size * (34 + 46 * min(trial.round, last) / last), *style))
    if dots:
        places, areas, faces, edges, widths = zip(*dots, strict=True)
        panel.scatter(*zip(*places, strict=True), s=areas, c=faces, edgecolors=edges, linewidths=widths, zorder=2)
    for status, marker in (("diverged", "x"), ("failed", "+")):
        if crosses[status]:
            panel.scatter(*zip(*crosses[status], strict=True), s=size * 44, marker=marker, color=INK, linewidths=1.3)
    best = course.outcome.best
    if best is not None and (at := _position(course, best, x, y, bands)) is not None:
        width = 0.8 if small else 1.1
        star = {"marker": "*", "color": STAR, "edgecolors": "white", "linewidths": width, "gid": "best"}
        panel.scatter(*at, s=150 if small else 330, zorder=4, **star)


def _position(course: Course, trial: Standing, x: Axis, y: Axis, by_score: bool) -> tuple[float, float] | None:
    across = scattered(course, trial, x)
    if not by_score:
        up = scattered(course, trial, y, ratio=0.754878)
    elif trial is course.outcome.best:
        up = y.place(course.best_score)
    elif shows_score(trial.status) and trial.score is not None:
        up = y.place(trial.score)
    else:
        up = y.low - 0.06 * y.width if trial.ended else None
    return None if across is None or up is None else (across, up)


def _label_bands(panel: Any, course: Course, axis: Axis) -> None:
    """Names of the rounds, one above another over the plot."""
    bands = bands_of(course, axis)
    for place, (record, (low, high)) in enumerate(bands):
        height = 1.02 + 0.05 * (len(bands) - 1 - place)
        tone = grey(place, len(bands))
        transform = panel.get_xaxis_transform()
        panel.plot([low, high], [height, height], color=tone, linewidth=2.5, transform=transform, clip_on=False)
        style: dict[str, Any] = {"color": INK, "fontsize": 8.5, "va": "bottom", "ha": "center", "transform": transform}
        panel.text((low + high) / 2, height + 0.004, round_title(course, record), clip_on=False, **style)


def _label_boxes(panel: Any, course: Course, found: Sequence[Box], x: Axis, y: Axis, short: bool) -> None:
    """Name each box where the name covers the least."""
    from matplotlib.patheffects import withStroke

    size = 7.5 if short else 9
    frame = panel.get_window_extent()
    points = [at for trial in course.trials if (at := _position(course, trial, x, y, False))]
    dots = [panel.transData.transform(at) for at in points]
    edges = [panel.transData.transform([(b.x[0], b.y[0]), (b.x[1], b.y[1])]).ravel() for b in found]
    taken: list[tuple[float, float, float, float]] = []
    pixel = panel.figure.dpi / 72
    named: dict[int, int] = {}
    for box, own in zip(found, edges, strict=True):
        named[box.record["index"]] = named.get(box.record["index"], 0) + 1
        if named[box.record["index"]] > 1 and len(found) > MOST_NAMED:
            continue
        x0, y0, x1, y1 = own
        title = course.number(box.record) if short else round_title(course, box.record)
        best: tuple[float, float, float, str, tuple[float, float, float, float]] | None = None
        for text in dict.fromkeys([title, title.replace(": ", "\n")]):
            lines = text.split("\n")
            wide = 0.56 * size * max(map(len, lines)) * pixel
            high, gap = 1.25 * size * len(lines) * pixel, 3 * pixel
            lefts = (x0 + gap, x1 - wide - gap, (x0 + x1 - wide) / 2)
            for bottom, left in itertools.product((y1 - high - gap, y1 + gap, y0 + gap, y0 - high - gap), lefts):
                area = (left, bottom, left + wide, bottom + high)
                near = (area[0] - 6, area[1] - 6, area[2] + 6, area[3] + 6)
                outside = left < frame.x0 or left + wide > frame.x1 or bottom < frame.y0
                outside = outside or bottom + high > frame.y1 + 2 * size * pixel
                cost = 1000.0 * outside + 200 * sum(_meet(area, other) for other in taken)
                cost += 8 * sum(near[0] < px < near[2] and near[1] < py < near[3] for px, py in dots)
                cost += 6 * sum(_crosses(area, edge) for edge in edges)
                cost += 3 * sum(_crosses(near, edge) for edge in edges if edge is not own) + len(lines)
                if best is None or cost < best[0]:
                    best = (cost, left, bottom, text, area)
        assert best is not None
        cost, left, bottom, text, area = best
        if cost >= 200:
            continue
        taken.append(area)
        at = panel.transData.inverted().transform((left, bottom))
        tone = grey(course.searches.index(box.record), len(course.searches), text=True)
        style: dict[str, Any] = {"va": "bottom", "ha": "left", "zorder": 3, "clip_on": False}
        panel.text(
            *at, text, fontsize=size, color=tone, path_effects=[withStroke(linewidth=2, foreground="white")], **style
        )


def _meet(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _crosses(area: Sequence[float], edge: Sequence[float]) -> bool:
    """Whether a rectangle's outline runs through an area."""
    inside = edge[0] < area[0] and area[2] < edge[2] and edge[1] < area[1] and area[3] < edge[3]
    return _meet(area, edge) and not inside


def _foremost(course: Course, weight: Importance | str) -> list[str]:
    """The keys of the points' axes: at most four, the most important ones, ranges before options among two."""
    keys = foremost(course, weight, MOST_PAIRED)
    return sorted(keys, key=lambda key: not key_axis(course, key).options) if len(keys) == 2 else keys


def _add_legend(figure: Any, handles: list[Any], rest: Any) -> None:
    if handles and rest is not None:
        rest.legend(handles=handles, loc="upper right", bbox_to_anchor=(1, 0.72))
    elif handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=4)


def _add_colour_bar(figure: Any, panels: list[Any], scores: Axis, course: Course, rest: Any) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mappable = ScalarMappable(Normalize(scores.low, scores.high), colours(course))
    if rest is not None:
        place = rest.inset_axes((0.1, 0.88, 0.9, 0.06))
        bar = figure.colorbar(mappable, cax=place, orientation="horizontal")
    else:
        bar = figure.colorbar(mappable, ax=panels, pad=0.02, aspect=28)
    ticks = scores.ticks(6 if rest is not None else 9)
    bar.set_ticks([t for t, _ in ticks], labels=[text for _, text in ticks])
    bar.set_label(scores.label)
    bar.outline.set_visible(False)
