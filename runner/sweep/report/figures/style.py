"""What the figures of a sweep share: colors, markers, and panels with the axis of a key."""

import textwrap
from typing import Any

from runner.sweep.record.rounds import FinalRound, Round, name
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures.axes import PADDING, Axis
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import format_epochs, format_number, format_turn

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


class NothingToDraw(Exception):
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


def colors(history: SweepHistory) -> Any:
    """Viridis, dark where the score is better."""
    import matplotlib as mpl

    return mpl.colormaps["viridis_r" if history.plan.objective.mode == "max" else "viridis"]


def color_of(scores: Axis, history: SweepHistory, score: float) -> Any:
    """The color of a score."""
    t = scores.place(score)
    assert t is not None
    return colors(history)((t - scores.low) / scores.width)


def shade(history: SweepHistory, round_: Round) -> str:
    return INK if isinstance(round_, FinalRound) else SHADES[_place(history, round_) % len(SHADES)]


def marker_of(history: SweepHistory, round_: Round) -> str:
    return "d" if isinstance(round_, FinalRound) else MARKERS[_place(history, round_) % len(MARKERS)]


def _place(history: SweepHistory, round_: Round) -> int:
    """Which of the search rounds it is, from 0."""
    return int(history.label(round_)) - 1


def round_name(history: SweepHistory, round_: Round) -> str:
    """A round with its length: round 2: 6 epochs; of a coordinate search, with the key whose turn it is."""
    turn = format_turn(round_)
    title = name(round_, history.rounds) + (f", {turn}" if turn else "")
    return f"{title}: {format_epochs(round_)}" if round_.epochs else title


def round_title(history: SweepHistory, round_: Round) -> str:
    """The name with the number of trials."""
    title, _, epochs = round_name(history, round_).partition(": ")
    trials = format_number(round_.num_trials, "trial")
    return f"{title}: {trials} of {epochs}" if epochs else f"{title}: {trials}"


def wrapped(label: str, width: int) -> str:
    """A long key in lines, broken after its dots."""
    parts = label.replace(".", ". ")
    return textwrap.fill(parts, width, break_long_words=False).replace(". ", ".") if len(label) > width else label


def needed(scores: Axis | None) -> Axis:
    if scores is None:
        raise NothingToDraw("no trial has a score")
    return scores


def scattered(history: SweepHistory, trial: TrialRecord, axis: Axis, ratio: float = 0.569840) -> float | None:
    """The place of a trial's value; within the place of an option, spread evenly."""
    place = axis.place(history.value(trial, axis.label))
    if place is None or not (axis.options or place == axis.absent_place):
        return place
    width = OPTION_WIDTH if axis.options else 0.06 * axis.width
    best = history.result.best
    number = trial.trial
    if best is not None and trial.point == best.point:
        number = next(t.trial for t in history.trials if t.point == best.point)
    return place + width * ((number * ratio + 0.5) % 1 - 0.5)


def bands_of(history: SweepHistory, axis: Axis) -> list[tuple[Round, tuple[float, float]]]:
    """Every round's range of one key; none for options."""
    found: list[tuple[Round, tuple[float, float]]] = []
    for round_ in history.searches if not axis.options else []:
        for trial in history.of_round(round_):
            span = (
                span_of(history, round_, trial, axis)
                if history.dimension_name(trial, axis.label) in round_.ranges
                else None
            )
            if span and (round_, span) not in found:
                found.append((round_, span))
    return found


def span_of(history: SweepHistory, round_: Round, trial: TrialRecord, axis: Axis) -> tuple[float, float] | None:
    """What a trial's value was drawn from."""
    if axis.options:
        place = axis.place(history.value(trial, axis.label))
        return None if place is None or place < 0 else (place - 0.45, place + 0.45)
    value = history.value(trial, axis.label)
    about = round_.ranges.get(history.dimension_name(trial, axis.label))
    if about is None:  # held, while another key had its turn, or without a place in this trial
        place = axis.place(value)
        return None if value is None or place is None else (place - 0.012 * axis.width, place + 0.012 * axis.width)
    low, high = axis.place(about["low"]), axis.place(about["high"])
    return None if value is None or low is None or high is None else (low, high)


def status_legend(history: SweepHistory) -> list[Any]:
    from matplotlib.lines import Line2D

    def dot(label: str, **style: Any) -> Any:
        return Line2D([], [], linestyle="", label=label, **style)

    statuses = {trial.status for trial in history.trials}
    handles = []
    if history.result.best is not None:
        handles.append(dot("best point", marker="*", color=STAR, markeredgecolor="white", markersize=15))
    if "pruned" in statuses:
        handles.append(dot("pruned", marker="o", color="white", markeredgecolor=QUIET, markersize=7))
    if "diverged" in statuses:
        handles.append(dot("diverged", marker="x", color=INK, markersize=7))
    if "failed" in statuses:
        handles.append(dot("failed", marker="+", color=INK, markersize=8))
    return handles
