"""What the figures of a sweep share: colors, markers, and panels with the axis of a key."""

import textwrap
from collections.abc import Sequence
from typing import Any

from runner.sweep.record.rounds import FinalRound, Round, SearchRound, name
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures.axes import PADDING, Axis
from runner.sweep.report.history import SweepHistory
from runner.sweep.space.space import distinct

STAR, INK, QUIET, PALE = "#D55E00", "#222222", "#666666", "#e9e9e9"
SHADES = ("#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#555555")  # Okabe and Ito's, told apart by all
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
CROSSES = {"diverged": "x", "failed": "+"}  # markers of trials without a score
SIGNS: dict[str, dict[str, Any]] = {
    "best point": {"marker": "*", "color": STAR, "markeredgecolor": "white", "markersize": 15},
    "pruned": {"marker": "o", "color": "white", "markeredgecolor": QUIET, "markersize": 7},
    "diverged": {"marker": CROSSES["diverged"], "color": INK, "markersize": 7},
    "failed": {"marker": CROSSES["failed"], "color": INK, "markersize": 8},
}
OPTION_WIDTH = 0.7  # the share of an option's place that its points are spread over
STYLE: Any = {
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


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Any, Any]:
    """A figure of so many inches, and its panels: the only one, or an array of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **grid)


def dress(panel: Any, axis: Axis, side: str, most: int, grid: bool = True) -> None:
    """Give one side of a panel the axis: limits, labels, and the break before places of their own."""
    if side == "x":
        line, rule, span, set_limits = panel.xaxis, panel.axvline, panel.axvspan, panel.set_xlim
    else:
        line, rule, span, set_limits = panel.yaxis, panel.axhline, panel.axhspan, panel.set_ylim
    ticks = axis.ticks(most)
    line.set_ticks([t for t, _ in ticks], labels=[text for _, text in ticks])
    line.set_ticks(axis.minor_ticks(), minor=True)
    line.set_label_text(wrapped(axis.label, 34))
    set_limits(*axis.limits)
    if side == "x" and axis.options and sum(len(text) for _, text in ticks) > 26:
        panel.tick_params(axis="x", labelrotation=30)
        for label in panel.get_xticklabels():
            label.set_horizontalalignment("right")
    panel.tick_params(which="minor", length=2)
    panel.set_axisbelow(True)
    if grid and not axis.options:
        line.grid(True, color="0.92", linewidth=0.7)
    for place in range(1, len(axis.options) if grid else 0):
        rule(place - 0.5, color="0.88", linewidth=0.8, zorder=0)
    if axis.break_ is not None:
        span(axis.limits[0] - axis.width * PADDING, axis.break_, color=PALE, alpha=0.6, linewidth=0, zorder=0)
        rule(axis.break_, color="0.6", linewidth=0.9, linestyle=(0, (2, 2)), zorder=0.6)


def dress_scores(panel: Any, history: SweepHistory, scores: Axis) -> None:
    """Give the left side of a panel the axis of the scores, with room beneath for the trials that have none."""
    dress(panel, scores, "y", 8)
    if any(trial.status in CROSSES for trial in history.trials):
        panel.set_ylim(scores.low - 0.1 * scores.width, scores.limits[1])


def draw_dots(panel: Any, dots: Sequence[tuple[Any, float, Any, Any, float]]) -> None:
    """Draw dots, each with its place (x, y), its area, the colors of its face and its rim, and the rim's width."""
    if dots:
        places, areas, faces, rims, widths = zip(*dots, strict=True)
        shape: dict[str, Any] = {"s": areas, "c": faces, "edgecolors": rims, "linewidths": widths}
        panel.scatter(*zip(*places, strict=True), zorder=2, **shape)


def draw_star(panel: Any, at: tuple[float | None, float | None], area: float, rim: float) -> None:
    """Draw the sign of the best point; `rim`: the width of its rim."""
    panel.scatter(*at, s=area, marker="*", color=STAR, edgecolors="white", linewidths=rim, zorder=4, gid="best")


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
    """A round as a legend has it; of a coordinate search, with the key whose turn it is."""
    key = round_.strategy.get("key") if isinstance(round_, SearchRound) else None
    return name(round_, history.rounds) + (f", {key.rpartition('.')[2]}" if key else "")


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
    if axis.options:
        return []
    spans = (
        (round_, span_of(history, round_, trial, axis))
        for round_ in history.searches
        for trial in history.of_round(round_)
        if history.dimension_name(trial, axis.label) in round_.ranges
    )
    return distinct((round_, span) for round_, span in spans if span)


def span_of(history: SweepHistory, round_: Round, trial: TrialRecord, axis: Axis) -> tuple[float, float] | None:
    """What a trial's value was drawn from."""
    value = history.value(trial, axis.label)
    if value is None:
        return None
    about = round_.ranges.get(history.dimension_name(trial, axis.label))
    if axis.options or about is None:  # an option, or held while another key had its turn
        place, half = axis.place(value), 0.45 if axis.options else 0.012 * axis.width
        return None if place is None else (place - half, place + half)
    low, high = axis.place(about["low"]), axis.place(about["high"])
    return None if low is None or high is None else (low, high)


def signs(history: SweepHistory, best: bool = True) -> list[Any]:
    """The legend of the signs that the trials have; `best`: the star too."""
    from matplotlib.lines import Line2D

    shown = {trial.status for trial in history.trials}
    if best and history.result.best is not None:
        shown.add("best point")
    return [Line2D([], [], linestyle="", label=label, **style) for label, style in SIGNS.items() if label in shown]
