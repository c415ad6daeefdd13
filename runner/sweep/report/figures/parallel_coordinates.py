"""Parallel coordinates: every trial as a line through its values and its score."""

import itertools
from collections.abc import Sequence
from typing import Any

from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shown_score
from runner.sweep.report.figures.importance import Importance, most_important
from runner.sweep.report.figures.style import INK, STAR, color_of, needed, panels, scattered, wrapped
from runner.sweep.report.history import SweepHistory

MAX_KEYS = 8
CAPTION = (
    "A line is a trial, through its values of every key to its score; the best lie on top. Where dark lines meet on an "
    "axis, that value matters; where they spread, it does not."
)


def draw_parallel_coordinates(history: SweepHistory, importance: Importance | str = "") -> Any:
    """Every trial as a line through its values and its score.

    Raises:
        NothingToDraw: no trial has a score.
    """
    from matplotlib.collections import LineCollection

    scores = needed(score_axis(history))
    axes = [key_axis(history, key) for key in most_important(history, importance, MAX_KEYS)]
    figure, panel = panels(max(6.5, 1.7 * (len(axes) + 1)), 4.6)
    drawn = [trial for trial in history.trials if shown_score(trial) is not None]
    drawn.sort(key=lambda trial: -history.plan.objective.order(trial.score or 0.0))
    lines = [_line(history, trial, axes, scores, trial.score) for trial in drawn]
    colors = [color_of(scores, history, trial.score or 0.0) for trial in drawn]
    opacity = min(0.9, max(0.3, 30 / len(drawn)))
    panel.add_collection(LineCollection(lines, colors=colors, linewidths=1.1, alpha=opacity, zorder=1))
    best = history.result.best
    if best is not None:
        line = _line(history, best, axes, scores, history.best_score)
        panel.plot(*zip(*line, strict=True), color=STAR, linewidth=2.4, zorder=3, label="best point")
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
    history: SweepHistory, trial: TrialRecord, axes: Sequence[Axis], scores: Axis, score: float | None
) -> list[tuple[float, float]]:
    """A trial's places on the axes, from left to right; one that it has no value for is passed over."""
    places = [*(scattered(history, trial, axis) for axis in axes), scores.place(score)]
    found = zip(itertools.count(), [*axes, scores], places, strict=False)
    return [(float(number), _height(axis, place)) for number, axis, place in found if place is not None]


def _height(axis: Axis, t: float) -> float:
    """Where t stands between the limits of its axis, from 0 to 1."""
    low, high = axis.limits
    return (t - low) / (high - low)
