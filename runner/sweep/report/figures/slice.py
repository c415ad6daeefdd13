"""The slice plot: the score against each key, with the ranges of the rounds beneath."""

import itertools
from typing import Any

from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shows_score
from runner.sweep.report.figures.importance import Importance, most_important
from runner.sweep.report.figures.style import (
    INK,
    STAR,
    bands_of,
    dress,
    marker_of,
    needed,
    round_name,
    scattered,
    shade,
    status_legend,
)
from runner.sweep.report.history import SweepHistory
from runner.sweep.space.space import key_of

MAX_KEYS = 8
CAPTION = (
    "The score against each key. The bars beneath are the ranges of the rounds, which close in on the best; "
    "with options, a bar's length is the fraction of the round's points with that option."
)


def draw_slice(history: SweepHistory, importance: Importance | str = "") -> Any:
    """The score against each key, with the rounds' ranges beneath.

    Raises:
        NothingToDraw: no trial has a score.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    scores = needed(score_axis(history))
    keys = most_important(history, importance, MAX_KEYS)
    columns = min(len(keys), 4 if len(keys) > 6 else 3)
    rows = -(-len(keys) // columns)
    strip = 0.16 * len(history.searches) + 0.1
    figure = Figure(figsize=(max(6.0, 0.9 + 3.2 * columns), 0.7 + (3.2 + strip) * rows), layout="constrained")
    ratios = [3.0, strip] * rows
    grid = figure.subplots(2 * rows, columns, squeeze=False, gridspec_kw={"height_ratios": ratios, "hspace": 0.02})
    for place, (row, column) in enumerate(itertools.product(range(rows), range(columns))):
        above, below = grid[2 * row][column], grid[2 * row + 1][column]
        if place >= len(keys):
            above.axis("off")
            below.axis("off")
            continue
        axis = key_axis(history, keys[place])
        _draw_key(above, history, axis, scores)
        _draw_spans(below, history, axis)
        if column:
            above.set_ylabel("")
            above.tick_params(labelleft=False)
            below.tick_params(labelleft=False)
    handles = [
        Line2D([], [], linestyle="", marker=marker_of(history, round_), color=shade(history, round_), label=label)
        for label, round_ in {round_name(history, round_): round_ for round_ in history.rounds}.items()
    ]
    handles += status_legend(history)
    longest = max(len(str(handle.get_label())) for handle in handles)
    wide = max(1, int(figure.get_size_inches()[0] / (0.5 + 0.078 * longest)))
    figure.legend(handles=handles, loc="outside upper left", ncols=wide, columnspacing=1.2, handletextpad=0.2)
    return figure


def _draw_key(panel: Any, history: SweepHistory, axis: Axis, scores: Axis) -> None:
    dress(panel, axis, "x", 5)
    dress(panel, scores, "y", 8)
    panel.tick_params(axis="x", which="both", labelbottom=False, bottom=False)
    panel.set_xlabel("")
    panel.spines["bottom"].set_visible(False)
    lowest = scores.limits[0]
    if any(trial.status in ("failed", "diverged") for trial in history.trials):
        lowest = scores.low - 0.1 * scores.width
        panel.set_ylim(lowest, scores.limits[1])
    for round_ in history.rounds:
        color, marker = shade(history, round_), marker_of(history, round_)
        dots: list[Any] = []
        hollow: list[Any] = []
        for trial in history.of_round(round_):
            across = scattered(history, trial, axis)
            if across is not None and trial.status in ("failed", "diverged"):
                cross = "x" if trial.status == "diverged" else "+"
                panel.scatter(across, scores.low - 0.06 * scores.width, marker=cross, s=30, color=INK, linewidths=1.1)
            elif across is not None and shows_score(trial.status) and trial.score is not None:
                (hollow if trial.status == "pruned" else dots).append((across, scores.place(trial.score)))
        if dots:
            panel.scatter(
                *zip(*dots, strict=True), s=30, marker=marker, color=color, edgecolors="white", linewidths=0.5
            )
        if hollow:
            rim = {"color": "none", "edgecolors": color, "linewidths": 0.9}
            panel.scatter(*zip(*hollow, strict=True), s=30, marker=marker, **rim)
    best = history.result.best
    if best is not None and (across := scattered(history, best, axis)) is not None:
        up = scores.place(history.best_score)
        panel.scatter(across, up, s=190, marker="*", color=STAR, edgecolors="white", linewidths=0.9, zorder=4)


def _draw_spans(panel: Any, history: SweepHistory, axis: Axis) -> None:
    """The ranges of the rounds as bars, the first one on top; of options, their shares."""
    dress(panel, axis, "x", 5, grid=False)
    number = len(history.searches)
    panel.set_ylim(number - 0.4, -0.6)
    panel.set_yticks(range(number), [history.label(round_) for round_ in history.searches], fontsize=7.5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    for place, round_ in enumerate(history.searches):
        style: dict[str, Any] = {"color": shade(history, round_), "linewidth": 4.5, "solid_capstyle": "butt"}
        about = next((a for name, a in round_.ranges.items() if key_of(name) == axis.label and "options" in a), None)
        for option, share in (about["options"] if about else {}).items():
            middle = axis.place(option)
            if middle is not None:
                panel.plot([middle - share * 0.45, middle + share * 0.45], [place, place], **style)
        for _, (low, high) in [band for band in bands_of(history, axis) if band[0] is round_]:
            panel.plot([low, high], [place, place], **style)
