"""What the pictures of a sweep share: colours, signs, and panels with the axis of a key."""

from __future__ import annotations

import textwrap
from typing import Any

from runner.sweep.record.journal import Standing
from runner.sweep.report.figures.axes import PADDING, Axis
from runner.sweep.report.history import Course
from runner.sweep.strategy.plan import Record

STAR, INK, QUIET, PALE = "#D55E00", "#222222", "#666666", "#e9e9e9"
SHADES = ("#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#555555")  # Okabe and Ito's, told apart by all
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
OPTION_WIDTH = 0.7  # the share of an option's place that its points are spread over
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.edgecolor": "0.55",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "0.55",
    "ytick.color": "0.55",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


class Nothing(Exception):
    """There is nothing to draw, for the reason given."""


def dress(panel: Any, axis: Axis, side: str, most: int, grid: bool = True) -> None:
    """Give one side of a panel the axis: limits, labels, and the break before places of their own."""
    line = panel.xaxis if side == "x" else panel.yaxis
    ticks = axis.ticks(most)
    line.set_ticks([t for t, _ in ticks], labels=[text for _, text in ticks])
    line.set_ticks(axis.minor_ticks(), minor=True)
    (panel.set_xlim if side == "x" else panel.set_ylim)(*axis.limits)
    (panel.set_xlabel if side == "x" else panel.set_ylabel)(wrapped(axis.label, 34))
    if side == "x" and axis.options and sum(len(text) for _, text in ticks) > 26:
        panel.tick_params(axis="x", labelrotation=30)
        for label in panel.get_xticklabels():
            label.set_horizontalalignment("right")
    panel.tick_params(which="minor", length=2)
    panel.set_axisbelow(True)
    if grid and not axis.options:
        line.grid(True, color="0.92", linewidth=0.7)
    for place in range(1, len(axis.options) if grid else 0):
        (panel.axvline if side == "x" else panel.axhline)(place - 0.5, color="0.88", linewidth=0.8, zorder=0)
    if axis.break_ is not None:
        span = panel.axvspan if side == "x" else panel.axhspan
        edge = panel.axvline if side == "x" else panel.axhline
        span(axis.limits[0] - axis.width * PADDING, axis.break_, color=PALE, alpha=0.6, linewidth=0, zorder=0)
        edge(axis.break_, color="0.6", linewidth=0.9, linestyle=(0, (2, 2)), zorder=0.6)
        (panel.set_xlim if side == "x" else panel.set_ylim)(*axis.limits)


def colours(course: Course) -> Any:
    """Viridis, dark where the score is better."""
    import matplotlib as mpl

    return mpl.colormaps["viridis_r" if course.plan.mode == "max" else "viridis"]


def colour_of(scores: Axis, course: Course, score: float) -> Any:
    t = scores.place(score)
    assert t is not None
    return colours(course)((t - scores.low) / scores.width)


def grey(place: int, number: int, text: bool = False) -> str:
    """From light to dark through the rounds."""
    lightest = 0.35 if text else 0.62
    return str(round(lightest * (1 - place / max(1, number - 1)) + 0.1, 3)) if number > 1 else "0.35"


def shade(course: Course, record: Record) -> str:
    return INK if record["kind"] == "finals" else SHADES[course.searches.index(record) % len(SHADES)]


def marker_of(course: Course, record: Record) -> str:
    return "d" if record["kind"] == "finals" else MARKERS[course.searches.index(record) % len(MARKERS)]


def round_name(course: Course, record: Record) -> str:
    number = course.number(record)
    name = number if record["kind"] == "finals" else f"round {number}"
    turn = f", {record['key'].rpartition('.')[2]}" if record.get("key") else ""
    return f"{name}{turn}: {epochs_text(record)}" if record["epochs"] else f"{name}{turn}"


def round_title(course: Course, record: Record) -> str:
    """The name with the number of trials."""
    name, _, epochs = round_name(course, record).partition(": ")
    number = record["num_trials"]
    trials = "1 trial" if number == 1 else f"{number} trials"
    return f"{name}: {trials} of {epochs}" if epochs else f"{name}: {trials}"


def epochs_text(record: Record) -> str:
    """How long a round's trials are, if they have epochs at all."""
    epochs = record["epochs"]
    return "1 epoch" if epochs == 1 else f"{epochs} epochs" if epochs else ""


def wrapped(label: str, width: int) -> str:
    """A long key in lines, broken after its dots."""
    parts = label.replace(".", ". ")
    return textwrap.fill(parts, width, break_long_words=False).replace(". ", ".") if len(label) > width else label


def needed(scores: Axis | None) -> Axis:
    if scores is None:
        raise Nothing("no trial has a score")
    return scores


def scattered(course: Course, trial: Standing, axis: Axis, ratio: float = 0.569840) -> float | None:
    """The place of a trial's value; within the place of an option, spread evenly."""
    place = axis.place(course.value(trial, axis.label))
    if place is None or not (axis.options or place == axis.absent_place):
        return place
    width = OPTION_WIDTH if axis.options else 0.06 * axis.width
    best = course.outcome.best
    number = trial.trial
    if best is not None and course.plan.point(trial) == course.plan.point(best):
        number = next(t.trial for t in course.trials if course.plan.point(t) == course.plan.point(best))
    return place + width * ((number * ratio + 0.5) % 1 - 0.5)


def bands_of(course: Course, axis: Axis) -> list[tuple[Record, tuple[float, float]]]:
    """Every round's range of one key; none for options."""
    found: list[tuple[Record, tuple[float, float]]] = []
    for record in course.searches if not axis.options else []:
        for trial in course.of_round(record):
            span = span_of(course, record, trial, axis) if course.name(trial, axis.label) in record["ranges"] else None
            if span and (record, span) not in found:
                found.append((record, span))
    return found


def span_of(course: Course, record: Record, trial: Standing, axis: Axis) -> tuple[float, float] | None:
    """What a trial's value was drawn from."""
    if axis.options:
        place = axis.place(course.value(trial, axis.label))
        return None if place is None or place < 0 else (place - 0.45, place + 0.45)
    value = course.value(trial, axis.label)
    about = record["ranges"].get(course.name(trial, axis.label))
    if about is None:  # held, while another key had its turn, or without a place in this trial
        place = axis.place(value)
        return None if value is None or place is None else (place - 0.012 * axis.width, place + 0.012 * axis.width)
    low, high = axis.place(about["low"]), axis.place(about["high"])
    return None if value is None or low is None or high is None else (low, high)


def status_legend(course: Course) -> list[Any]:
    from matplotlib.lines import Line2D

    def dot(label: str, **style: Any) -> Any:
        return Line2D([], [], linestyle="", label=label, **style)

    statuses = {trial.status for trial in course.trials}
    handles = []
    if course.outcome.best is not None:
        handles.append(dot("best setting", marker="*", color=STAR, markeredgecolor="white", markersize=15))
    if "stopped" in statuses:
        handles.append(dot("stopped half-way", marker="o", color="white", markeredgecolor=QUIET, markersize=7))
    if "diverged" in statuses:
        handles.append(dot("diverged", marker="x", color=INK, markersize=7))
    if "failed" in statuses:
        handles.append(dot("failed", marker="+", color=INK, markersize=8))
    return handles
