"""The pictures of a sweep. Darker is better in all of them, and every key has the scale that it is drawn in."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.sweep.record.journal import Standing
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shows_score
from runner.sweep.report.figures.importance import Importance, foremost, left_out, weigh
from runner.sweep.report.figures.panels import (
    INK,
    QUIET,
    STAR,
    STYLE,
    Nothing,
    bands_of,
    colour_of,
    dress,
    epochs_text,
    marker_of,
    needed,
    round_name,
    scattered,
    shade,
    status_legend,
    wrapped,
)
from runner.sweep.report.figures.points import draw_points, read_points
from runner.sweep.report.history import Course
from runner.sweep.space.space import key_of
from runner.sweep.strategy.plan import Record

DPI = 130
MOST_KEYS = 8  # in the pictures of all keys


@dataclass(frozen=True)
class Picture:
    """One picture, or the reason why there is none.

    Args:
        reading: how to read it.
    """

    name: str
    reading: str
    png: bytes | None = None
    reason: str = ""


def draw(course: Course, folder: Path, warn: Callable[[str], None]) -> list[Picture]:
    """Draw all pictures into a folder; one that fails is warned of and left out."""
    import matplotlib as mpl

    try:
        weight: Importance | str = weigh(course)
    except Exception as error:
        weight = f"the forest failed ({type(error).__name__}: {error})"
        warn(f"importance.png: {weight}")
    painters: dict[str, tuple[Callable[[], Any], str]] = {
        "points": (lambda: draw_points(course, weight), read_points(course, weight)),
        "keys": (lambda: draw_keys(course, weight), KEYS_READING + left_out(course, weight, MOST_KEYS)),
        "progress": (lambda: draw_progress(course), PROGRESS_READING),
        "importance": (lambda: draw_importance(weight), IMPORTANCE_READING),
        "parallel": (lambda: draw_parallel(course, weight), PARALLEL_READING + left_out(course, weight, MOST_KEYS)),
    }
    style: Any = STYLE
    pictures = []
    for name, (paint, reading) in painters.items():
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)  # that of an earlier end
        try:
            with mpl.rc_context(style):
                figure = paint()
                png = io.BytesIO()
                figure.savefig(png, dpi=DPI, format="png")
            path.write_bytes(png.getvalue())
            pictures.append(Picture(name, reading, png.getvalue()))
        except Nothing as reason:
            pictures.append(Picture(name, reading, reason=str(reason)))
        except Exception as error:
            warn(f"{name}.png could not be drawn: {type(error).__name__}: {error}")
            pictures.append(Picture(name, reading, reason=f"it could not be drawn ({type(error).__name__}: {error})"))
    return pictures


KEYS_READING = (
    "The score against each key. The bars beneath are the ranges of the rounds, which close in on the best; "
    "with options, a bar's length is the option's share of the round's points."
)
PROGRESS_READING = (
    "Every trial as it ended, and the best score so far. Where the line stays flat, more trials were of no use."
)
IMPORTANCE_READING = (
    "What share of the explained score each key decides. It says nothing of which value is best, and it holds for the "
    "ranges of this sweep: a key whose whole range is good decides little. A trial that diverged counts as the worst "
    "that finished in its round."
)
PARALLEL_READING = (
    "A line is a trial, through its values of every key to its score; the best lie on top. Where dark lines meet on an "
    "axis, that value matters; where they spread, it does not."
)


# ---------------------------------------------------------------------------------------------------------------------
# Keys


def draw_keys(course: Course, weight: Importance | str = "") -> Any:
    """The score against each key, with the rounds' ranges beneath.

    Raises:
        Nothing: no trial has a score.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    scores = needed(score_axis(course))
    keys = foremost(course, weight, MOST_KEYS)
    columns = min(len(keys), 4 if len(keys) > 6 else 3)
    rows = -(-len(keys) // columns)
    strip = 0.16 * len(course.searches) + 0.1
    figure = Figure(figsize=(max(6.0, 0.9 + 3.2 * columns), 0.7 + (3.2 + strip) * rows), layout="constrained")
    ratios = [3.0, strip] * rows
    grid = figure.subplots(2 * rows, columns, squeeze=False, gridspec_kw={"height_ratios": ratios, "hspace": 0.02})
    for place, (row, column) in enumerate(itertools.product(range(rows), range(columns))):
        above, below = grid[2 * row][column], grid[2 * row + 1][column]
        if place >= len(keys):
            above.axis("off")
            below.axis("off")
            continue
        axis = key_axis(course, keys[place])
        _draw_key(above, course, axis, scores)
        _draw_spans(below, course, axis)
        if column:
            above.set_ylabel("")
            above.tick_params(labelleft=False)
            below.tick_params(labelleft=False)
    handles = [
        Line2D([], [], linestyle="", marker=marker_of(course, record), color=shade(course, record), label=label)
        for label, record in {round_name(course, record): record for record in course.rounds}.items()
    ]
    handles += status_legend(course)
    longest = max(len(str(handle.get_label())) for handle in handles)
    wide = max(1, int(figure.get_size_inches()[0] / (0.5 + 0.078 * longest)))
    figure.legend(handles=handles, loc="outside upper left", ncols=wide, columnspacing=1.2, handletextpad=0.2)
    return figure


def _draw_key(panel: Any, course: Course, axis: Axis, scores: Axis) -> None:
    dress(panel, axis, "x", 5)
    dress(panel, scores, "y", 8)
    panel.tick_params(axis="x", which="both", labelbottom=False, bottom=False)
    panel.set_xlabel("")
    panel.spines["bottom"].set_visible(False)
    lowest = scores.limits[0]
    if any(trial.status in ("failed", "diverged") for trial in course.trials):
        lowest = scores.low - 0.1 * scores.width
        panel.set_ylim(lowest, scores.limits[1])
    for record in course.rounds:
        colour, marker = shade(course, record), marker_of(course, record)
        dots: list[Any] = []
        hollow: list[Any] = []
        for trial in course.of_round(record):
            across = scattered(course, trial, axis)
            if across is not None and trial.status in ("failed", "diverged"):
                cross = "x" if trial.status == "diverged" else "+"
                panel.scatter(across, scores.low - 0.06 * scores.width, marker=cross, s=30, color=INK, linewidths=1.1)
            elif across is not None and shows_score(trial.status) and trial.score is not None:
                (hollow if trial.status == "stopped" else dots).append((across, scores.place(trial.score)))
        if dots:
            panel.scatter(
                *zip(*dots, strict=True), s=30, marker=marker, color=colour, edgecolors="white", linewidths=0.5
            )
        if hollow:
            rim = {"color": "none", "edgecolors": colour, "linewidths": 0.9}
            panel.scatter(*zip(*hollow, strict=True), s=30, marker=marker, **rim)
    best = course.outcome.best
    if best is not None and (across := scattered(course, best, axis)) is not None:
        up = scores.place(course.best_score)
        panel.scatter(across, up, s=190, marker="*", color=STAR, edgecolors="white", linewidths=0.9, zorder=4)


def _draw_spans(panel: Any, course: Course, axis: Axis) -> None:
    """The ranges of the rounds as bars, the first one on top; of options, their shares."""
    dress(panel, axis, "x", 5, grid=False)
    number = len(course.searches)
    panel.set_ylim(number - 0.4, -0.6)
    panel.set_yticks(range(number), [course.number(record) for record in course.searches], fontsize=7.5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    for place, record in enumerate(course.searches):
        style: dict[str, Any] = {"color": shade(course, record), "linewidth": 4.5, "solid_capstyle": "butt"}
        about = next((a for name, a in record["ranges"].items() if key_of(name) == axis.label and "options" in a), None)
        for option, share in (about["options"] if about else {}).items():
            middle = axis.place(option)
            if middle is not None:
                panel.plot([middle - share * 0.45, middle + share * 0.45], [place, place], **style)
        for _, (low, high) in [band for band in bands_of(course, axis) if band[0] is record]:
            panel.plot([low, high], [place, place], **style)


# ---------------------------------------------------------------------------------------------------------------------
# Progress


def draw_progress(course: Course) -> Any:
    """The best so far, against trials and against seconds.

    Raises:
        Nothing: no trial has a score.
    """
    from matplotlib.figure import Figure

    scores = needed(score_axis(course))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for panel, along, label in ((left, "place", "trials ended"), (right, "seconds", "seconds")):
        _draw_progress(panel, course, scores, along)
        panel.set_xlabel(label)
        panel.set_title(" \n ", fontsize=8)  # room for the rounds' names
    right.set_ylabel("")
    lines, labels = left.get_legend_handles_labels()
    signs = [sign for sign in status_legend(course) if sign.get_label() != "best setting"]
    handles = [*lines, *signs]
    if handles:
        figure.legend(handles, [*labels, *(sign.get_label() for sign in signs)], loc="outside lower left", ncols=4)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel, along in ((left, "place"), (right, "seconds")):
        _name_rounds(panel, course, along)
    return figure


def _draw_progress(panel: Any, course: Course, scores: Axis, along: str) -> None:
    dress(panel, scores, "y", 8)
    trials = {trial.trial: trial for trial in course.trials}
    dots = []
    for end in course.ends:
        trial = trials[end.trial]
        at = getattr(end, along)
        if trial.status in ("failed", "diverged"):
            marker = "x" if trial.status == "diverged" else "+"
            panel.scatter(at, scores.low, marker=marker, s=28, color=INK, linewidths=1)
        elif trial.score is not None:
            colour = colour_of(scores, course, trial.score)
            face, edge = ("white", colour) if trial.status == "stopped" else (colour, "white")
            dots.append((at, scores.place(trial.score), face, edge))
    if dots:
        xs, ys, faces, edges = zip(*dots, strict=True)
        panel.scatter(xs, ys, s=30, c=faces, edgecolors=edges, linewidths=0.8, zorder=2)
    line = [(getattr(end, along), best) for end, best in zip(course.ends, course.best_so_far(), strict=True)]
    known = [(at, scores.place(best)) for at, best in line if best is not None]
    if known:
        panel.plot(
            [at for at, _ in known], [up for _, up in known], color=STAR, linewidth=1.8, drawstyle="steps-post",
            label="best so far", zorder=1.5, gid="best so far",
        )  # fmt: skip
    panel.set_xlim(0, (max(getattr(end, along) for end in course.ends) if course.ends else 1) * 1.02)
    for start, *_ in _round_spans(course, along)[1:]:
        panel.axvline(start, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.9)


def _round_spans(course: Course, along: str) -> list[tuple[float, float, Record]]:
    """Where each round begins and ends along the axis: half-way between the ends of trials.

    A round that was given more trials later has a span for these.
    """
    round_of = {trial.trial: trial.round for trial in course.trials}
    runs = [(index, list(ends)) for index, ends in itertools.groupby(course.ends, lambda end: round_of[end.trial])]
    found: list[tuple[float, float, Record]] = []
    before = 0.0
    for (index, own), (_, after) in zip(runs, [*runs[1:], (-1, [])], strict=True):
        last = getattr(own[-1], along)
        end = (last + getattr(after[0], along)) / 2 if after else last
        found.append((before, end, course.rounds[index]))
        before = end
    return found


def _name_rounds(panel: Any, course: Course, along: str) -> None:
    """Write above each round what it is, in as many words as there is room for."""
    for start, end, record in _round_spans(course, along):
        low, high = panel.transData.transform([(start, 0), (end, 0)])[:, 0] * 72 / panel.figure.dpi
        number, epochs = course.number(record), epochs_text(record)
        final = record["kind"] == "finals"
        name, short = (number, "F") if final else (f"round {number}", number)
        for text in (f"{name}: {epochs}" if epochs else name, f"{name}\n{epochs}", short):
            if 4.7 * max(map(len, text.split("\n"))) < high - low - 4 * (text != short):
                break
        else:
            continue
        style: dict[str, Any] = {"fontsize": 8, "color": QUIET, "ha": "center", "va": "bottom"}
        panel.text((start + end) / 2, 1.01, text.strip(), transform=panel.get_xaxis_transform(), **style)


# ---------------------------------------------------------------------------------------------------------------------
# Importance


def draw_importance(weight: Importance | str) -> Any:
    """The importance of each key as bars.

    Raises:
        Nothing: there is no importance to tell.
    """
    from matplotlib.figure import Figure

    if isinstance(weight, str):
        raise Nothing(weight)
    shares = dict(list(weight.shares.items())[:12])
    figure = Figure(figsize=(7.6, 1.3 + 0.34 * len(shares)), layout="constrained")
    panel = figure.subplots()
    panel.barh(range(len(shares)), list(shares.values()), color="#0072B2", height=0.62)
    panel.set_yticks(range(len(shares)), [wrapped(key, 30) for key in shares])
    panel.invert_yaxis()
    for place, share in enumerate(shares.values()):
        panel.text(share + 0.01, place, f"{share:.0%}", va="center", color=INK)
    panel.set_xlim(0, min(1.12, max(shares.values()) + 0.12))
    panel.set_xticks([])
    panel.tick_params(axis="y", length=0)
    panel.spines["bottom"].set_visible(False)
    poor = ": a poor fit, read little into this" if weight.r2 < 0.5 else ""
    diverged = "1 trial" if weight.num_diverged == 1 else f"{weight.num_diverged} trials"
    lost = f"\ndiverged: {diverged}, counted as the worst of the round" if weight.num_diverged else ""
    caption = f"out-of-bag R² {weight.r2:.2f} over {weight.num_trials} trials{poor}{lost}"
    panel.set_xlabel(f"share of the explained score that the key decides\n{caption}", color=QUIET, loc="left")
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Parallel coordinates


def draw_parallel(course: Course, weight: Importance | str = "") -> Any:
    """Every trial as a line through its values and its score.

    Raises:
        Nothing: no trial has a score.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    scores = needed(score_axis(course))
    axes = [key_axis(course, key) for key in foremost(course, weight, MOST_KEYS)]
    figure = Figure(figsize=(max(6.5, 1.7 * (len(axes) + 1)), 4.6), layout="constrained")
    panel = figure.subplots()
    sign = 1 if course.plan.mode == "max" else -1
    drawn = [trial for trial in course.trials if shows_score(trial.status) and trial.score is not None]
    drawn.sort(key=lambda trial: sign * (trial.score or 0.0))
    lines = [_line(course, trial, axes, scores, trial.score) for trial in drawn]
    colours = [colour_of(scores, course, trial.score or 0.0) for trial in drawn]
    opacity = min(0.9, max(0.3, 30 / len(drawn)))
    panel.add_collection(LineCollection(lines, colors=colours, linewidths=1.1, alpha=opacity, zorder=1))
    best = course.outcome.best
    if best is not None:
        line = _line(course, best, axes, scores, course.best_score)
        panel.plot(*zip(*line, strict=True), color=STAR, linewidth=2.4, zorder=3, label="best setting")
        figure.legend(loc="outside lower left")
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
    for place, axis in enumerate([*axes, scores]):
        panel.plot([place, place], [0, 1], color="0.35", linewidth=1, zorder=2)
        for t, text in axis.ticks(6):
            up = _height(axis, t)
            panel.plot([place - 0.02, place + 0.02], [up, up], color="0.35", linewidth=1, zorder=2)
            style: dict[str, Any] = {"va": "center", "fontsize": 8, "color": INK, "zorder": 4}
            panel.text(place + 0.04, up, text, bbox=behind, **style)
        bold: dict[str, Any] = {"fontweight": "bold"} if place == len(axes) else {}
        panel.text(place, 1.04, wrapped(axis.label, 16), ha="center", va="bottom", fontsize=9, color=INK, **bold)
    panel.set(xlim=(-0.25, len(axes) + 0.4), ylim=(-0.03, 1.03))
    panel.axis("off")
    return figure


def _line(
    course: Course, trial: Standing, axes: Sequence[Axis], scores: Axis, score: float | None
) -> list[tuple[float, float]]:
    """A trial's places on the axes, from left to right; one that it has no value for is passed over."""
    places = [*(scattered(course, trial, axis) for axis in axes), scores.place(score)]
    found = zip(itertools.count(), [*axes, scores], places, strict=False)
    return [(float(number), _height(axis, place)) for number, axis, place in found if place is not None]


def _height(axis: Axis, t: float) -> float:
    """Where t stands between the limits of its axis, from 0 to 1."""
    low, high = axis.limits
    return (t - low) / (high - low)
