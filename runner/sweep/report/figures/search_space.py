"""The search space: every trial at its values, with the ranges in which the rounds drew them."""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.sweep.record.rounds import FinalRound, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shows_score
from runner.sweep.report.figures.importance import Importance, left_out, most_important
from runner.sweep.report.figures.style import (
    INK,
    QUIET,
    STAR,
    NothingToDraw,
    bands_of,
    color_of,
    colors,
    dress,
    needed,
    round_title,
    scattered,
    shade,
    span_of,
    status_legend,
)
from runner.sweep.report.history import SweepHistory

MAX_PAIRED = 4  # keys in a grid of pairs


def caption(history: SweepHistory, importance: Importance | str = "") -> str:
    """How to read the figure."""
    if len(history.keys) == 1:
        return "Every trial by its value and its score; the bands are the ranges of the rounds, the star is the best."
    boxes = "" if all(key_axis(history, key).options for key in history.keys) else " The boxes are the rounds' ranges."
    return (
        f"Every trial at its values, darker where the score is better, larger in later rounds.{boxes} The star is "
        f"the best point.{left_out(history, importance, MAX_PAIRED)}"
    )


@dataclass(frozen=True)
class Box:
    """What a round searches of two keys, as t."""

    round: SearchRound
    x: tuple[float, float]
    y: tuple[float, float]


def draw_search_space(history: SweepHistory, importance: Importance | str = "") -> Any:
    """The points of all rounds: against the score for one key, one panel for two, a grid of pairs for more.

    Raises:
        NothingToDraw: no trial was queued, or none of a single key has a score.
    """
    if not history.trials:
        raise NothingToDraw("no trial was queued")
    keys = most_important(history, importance, MAX_PAIRED)
    if len(keys) == 2:
        keys = sorted(keys, key=lambda key: not key_axis(history, key).options)  # options across, ranges up
    axes = [key_axis(history, key) for key in keys]
    scores = score_axis(history)
    if len(keys) == 1:
        return _draw_one(history, axes[0], needed(scores))
    return (
        _draw_two(history, axes[0], axes[1], scores)
        if len(keys) == 2
        else _draw_grid(history, axes, scores, left_out(history, importance, MAX_PAIRED).strip())
    )


def _draw_one(history: SweepHistory, axis: Axis, scores: Axis) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    panel = figure.subplots()
    dress(panel, axis, "x", 8)
    dress(panel, scores, "y", 8)
    if any(trial.status in ("failed", "diverged") for trial in history.trials):
        panel.set_ylim(scores.low - 0.1 * scores.width, scores.limits[1])
    for round_, span in bands_of(history, axis):
        panel.axvspan(*span, color=shade(history, round_), alpha=0.07, linewidth=0, gid=f"round {round_.index}")
        for bound in span:
            panel.axvline(bound, color=shade(history, round_), linewidth=1.0)
    _draw_trials(panel, history, axis, scores, scores, by_score=True)
    figure.legend(handles=[*_round_legend(history), *status_legend(history)], loc="outside lower left", ncols=3)
    return figure


def _draw_two(history: SweepHistory, x: Axis, y: Axis, scores: Axis | None) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 5.9), layout="constrained")
    panel = figure.subplots()
    _draw_pair(panel, history, x, y, scores)
    if scores is not None:
        bar = figure.colorbar(_scores(history, scores), ax=[panel], pad=0.02, aspect=28)
        _label_bar(bar, scores, 9)
    handles = [*(_round_legend(history) if boxes(history, x, y) else []), *status_legend(history)]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def _draw_grid(history: SweepHistory, axes: Sequence[Axis], scores: Axis | None, note: str) -> Any:
    from matplotlib.figure import Figure

    side = len(axes) - 1
    figure = Figure(figsize=(1.6 + 2.9 * side, 1.0 + 2.6 * side), layout="constrained")
    grid = figure.subplots(side, side, squeeze=False)
    for row, column in itertools.product(range(side), range(side)):
        panel = grid[row][column]
        if column > row:
            panel.axis("off")
            continue
        _draw_pair(panel, history, axes[column], axes[row + 1], scores, small=True)
        if row < side - 1:
            panel.set_xlabel("")
            panel.tick_params(labelbottom=False)
        if column:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)
    corner = grid[0][side - 1]  # nothing is drawn there
    if scores is not None:
        bar = figure.colorbar(
            _scores(history, scores), cax=corner.inset_axes((0.1, 0.88, 0.9, 0.06)), orientation="horizontal"
        )
        _label_bar(bar, scores, 6)
    corner.legend(
        handles=[*_round_legend(history), *status_legend(history)], loc="upper right", bbox_to_anchor=(1, 0.72)
    )
    corner.text(
        1, -0.05, textwrap.fill(note, 44, break_long_words=False), ha="right", va="top", color=QUIET, fontsize=8.5
    )
    return figure


def boxes(history: SweepHistory, x: Axis, y: Axis) -> list[Box]:
    """The boxes of all rounds: of each, one for every two dimensions that its points were drawn from together."""
    found: list[Box] = []
    if x.options and y.options:
        return found
    for round_ in history.searches:
        for trial in history.of_round(round_):
            spans = [span_of(history, round_, trial, axis) for axis in (x, y)]
            if spans[0] and spans[1] and (box := Box(round_, spans[0], spans[1])) not in found:
                found.append(box)
    return found


def _draw_pair(panel: Any, history: SweepHistory, x: Axis, y: Axis, scores: Axis | None, small: bool = False) -> None:
    from matplotlib.patches import Rectangle

    dress(panel, x, "x", 5 if small else 8)
    dress(panel, y, "y", 5 if small else 8)
    for box in boxes(history, x, y):
        (left, right), (bottom, top) = box.x, box.y
        shape: dict[str, Any] = {"xy": (left, bottom), "width": right - left, "height": top - bottom}
        edge, gid = shade(history, box.round), f"round {box.round.index}"
        panel.add_patch(Rectangle(**shape, facecolor=edge, alpha=0.04, linewidth=0, zorder=0.5))
        panel.add_patch(Rectangle(**shape, fill=False, edgecolor=edge, linewidth=1.3, zorder=1, gid=gid))
    _draw_trials(panel, history, x, y, scores, small=small)


def _draw_trials(
    panel: Any,
    history: SweepHistory,
    x: Axis,
    y: Axis,
    scores: Axis | None,
    small: bool = False,
    by_score: bool = False,
) -> None:
    """Every trial as a dot, larger in later rounds; a cross where it has no score; the best as a star."""
    size = (0.45 if small else 1.0) * min(1.0, max(0.4, 12 / max(1, len(history.trials)) ** 0.5))
    last = max(1, len(history.searches) - 1)
    crosses: dict[str, list[tuple[float, float]]] = {"failed": [], "diverged": []}
    dots: list[tuple[tuple[float, float], float, Any, Any, float]] = []
    for trial in sorted(history.trials, key=lambda trial: trial.round):
        if isinstance(history.rounds[trial.round], FinalRound) and not by_score:
            continue  # at the places of the trials that they repeat
        at = _position(history, trial, x, y, by_score)
        if at is None:
            continue
        if trial.status in crosses:
            crosses[trial.status].append(at)
        elif scores is not None and shows_score(trial.status) and trial.score is not None:
            color = color_of(scores, history, trial.score)
            style = ("white", color, 1.4) if trial.status == "pruned" else (color, "white", 0.7)
            dots.append((at, size * (34 + 46 * min(trial.round, last) / last), *style))
    if dots:
        places, areas, faces, edges, widths = zip(*dots, strict=True)
        panel.scatter(*zip(*places, strict=True), s=areas, c=faces, edgecolors=edges, linewidths=widths, zorder=2)
    for status, marker in (("diverged", "x"), ("failed", "+")):
        if crosses[status]:
            panel.scatter(*zip(*crosses[status], strict=True), s=size * 44, marker=marker, color=INK, linewidths=1.3)
    best = history.result.best
    if best is not None and (at := _position(history, best, x, y, by_score)) is not None:
        width = 0.8 if small else 1.1
        star = {"marker": "*", "color": STAR, "edgecolors": "white", "linewidths": width, "gid": "best"}
        panel.scatter(*at, s=150 if small else 330, zorder=4, **star)


def _position(
    history: SweepHistory, trial: TrialRecord, x: Axis, y: Axis, by_score: bool
) -> tuple[float, float] | None:
    across = scattered(history, trial, x)
    if not by_score:
        up = scattered(history, trial, y, ratio=0.754878)
    elif trial is history.result.best:
        up = y.place(history.best_score)
    elif shows_score(trial.status) and trial.score is not None:
        up = y.place(trial.score)
    else:
        up = y.low - 0.06 * y.width if trial.ended else None
    return None if across is None or up is None else (across, up)


def _round_legend(history: SweepHistory) -> list[Any]:
    """The color of each round's ranges."""
    from matplotlib.patches import Patch

    return [
        Patch(fill=False, edgecolor=shade(history, round_), linewidth=1.3, label=round_title(history, round_))
        for round_ in history.searches
    ]


def _scores(history: SweepHistory, scores: Axis) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(scores.low, scores.high), colors(history))


def _label_bar(bar: Any, scores: Axis, most: int) -> None:
    ticks = scores.ticks(most)
    bar.set_ticks([t for t, _ in ticks], labels=[text for _, text in ticks])
    bar.set_label(scores.label)
    bar.outline.set_visible(False)
