"""The search space: every trial at its values, with the ranges in which the rounds drew them."""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.sweep.record.rounds import FinalRound, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures import style
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shown_score
from runner.sweep.report.figures.importance import Importance, left_out, most_important
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import format_size
from runner.sweep.space.space import distinct

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
        raise style.NothingToDraw("no trial was queued")
    keys = most_important(history, importance, MAX_PAIRED)
    if len(keys) == 2:
        keys = sorted(keys, key=lambda key: not key_axis(history, key).options)  # options across, ranges up
    axes = [key_axis(history, key) for key in keys]
    scores = score_axis(history)
    if len(keys) == 1:
        return _draw_one(history, axes[0], style.needed(scores))
    if len(keys) == 2:
        return _draw_two(history, axes[0], axes[1], scores)
    return _draw_grid(history, axes, scores, left_out(history, importance, MAX_PAIRED).strip())


def _draw_one(history: SweepHistory, axis: Axis, scores: Axis) -> Any:
    figure, panel = style.panels(8.6, 5.2)
    style.dress(panel, axis, "x", 8)
    style.dress_scores(panel, history, scores)
    for round_, span in style.bands_of(history, axis):
        panel.axvspan(*span, color=style.shade(history, round_), alpha=0.07, linewidth=0, gid=f"round {round_.index}")
        for bound in span:
            panel.axvline(bound, color=style.shade(history, round_), linewidth=1.0)
    _draw_trials(panel, history, axis, scores, scores)
    figure.legend(handles=[*_round_legend(history), *style.signs(history)], loc="outside lower left", ncols=3)
    return figure


def _draw_two(history: SweepHistory, x: Axis, y: Axis, scores: Axis | None) -> Any:
    figure, panel = style.panels(8.6, 5.9)
    _draw_pair(panel, history, x, y, scores)
    if scores is not None:
        _draw_color_bar(figure, history, scores, 9, ax=[panel], pad=0.02, aspect=28)
    handles = [*(_round_legend(history) if boxes(history, x, y) else []), *style.signs(history)]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def _draw_grid(history: SweepHistory, axes: Sequence[Axis], scores: Axis | None, note: str) -> Any:
    side = len(axes) - 1
    figure, grid = style.panels(1.6 + 2.9 * side, 1.0 + 2.6 * side, side, side, squeeze=False)
    for row, column in itertools.product(range(side), range(side)):
        panel = grid[row][column]
        if column > row:
            panel.axis("off")
            continue
        _draw_pair(panel, history, axes[column], axes[row + 1], scores, small=True)
        panel.label_outer()
    corner = grid[0][side - 1]  # nothing is drawn there
    if scores is not None:
        place = corner.inset_axes((0.1, 0.88, 0.9, 0.06))
        _draw_color_bar(figure, history, scores, 6, cax=place, orientation="horizontal")
    corner.legend(handles=[*_round_legend(history), *style.signs(history)], loc="upper right", bbox_to_anchor=(1, 0.72))
    text = textwrap.fill(note, 44, break_long_words=False)
    corner.text(1, -0.05, text, ha="right", va="top", color=style.QUIET, fontsize=8.5)
    return figure


def boxes(history: SweepHistory, x: Axis, y: Axis) -> list[Box]:
    """The boxes of all rounds: of each, one for every two dimensions that its points were drawn from together."""
    if x.options and y.options:
        return []
    spans = (
        (round_, style.span_of(history, round_, trial, x), style.span_of(history, round_, trial, y))
        for round_ in history.searches
        for trial in history.of_round(round_)
    )
    return distinct(Box(round_, across, up) for round_, across, up in spans if across and up)


def _draw_pair(panel: Any, history: SweepHistory, x: Axis, y: Axis, scores: Axis | None, small: bool = False) -> None:
    from matplotlib.patches import Rectangle

    style.dress(panel, x, "x", 5 if small else 8)
    style.dress(panel, y, "y", 5 if small else 8)
    for box in boxes(history, x, y):
        (left, right), (bottom, top) = box.x, box.y
        shape: dict[str, Any] = {"xy": (left, bottom), "width": right - left, "height": top - bottom}
        edge, gid = style.shade(history, box.round), f"round {box.round.index}"
        panel.add_patch(Rectangle(**shape, facecolor=edge, alpha=0.04, linewidth=0, zorder=0.5))
        panel.add_patch(Rectangle(**shape, fill=False, edgecolor=edge, linewidth=1.3, zorder=1, gid=gid))
    _draw_trials(panel, history, x, y, scores, small=small)


def _draw_trials(panel: Any, history: SweepHistory, x: Axis, y: Axis, scores: Axis | None, small: bool = False) -> None:
    """Every trial as a dot, larger in later rounds; a cross where it has no score; the best as a star."""
    by_score = y is scores
    size = (0.45 if small else 1.0) * min(1.0, max(0.4, 12 / max(1, len(history.trials)) ** 0.5))
    last = max(1, len(history.searches) - 1)
    dots: list[tuple[Any, float, Any, Any, float]] = []
    for trial in sorted(history.trials, key=lambda trial: trial.round):
        if isinstance(history.rounds[trial.round], FinalRound) and not by_score:
            continue  # at the places of the trials that they repeat
        at = _position(history, trial, x, y, by_score)
        if at is None:
            continue
        if trial.status in style.CROSSES:
            panel.scatter(*at, s=size * 44, marker=style.CROSSES[trial.status], color=style.INK, linewidths=1.3)
        elif scores is not None and (score := shown_score(trial)) is not None:
            color = style.color_of(scores, history, score)
            look = ("white", color, 1.4) if trial.status == "pruned" else (color, "white", 0.7)
            dots.append((at, size * (34 + 46 * min(trial.round, last) / last), *look))
    style.draw_dots(panel, dots)
    best = history.result.best
    if best is not None and (at := _position(history, best, x, y, by_score)) is not None:
        style.draw_star(panel, at, *((150, 0.8) if small else (330, 1.1)))


def _position(
    history: SweepHistory, trial: TrialRecord, x: Axis, y: Axis, by_score: bool
) -> tuple[float, float] | None:
    across = style.scattered(history, trial, x)
    if not by_score:
        up = style.scattered(history, trial, y, ratio=0.754878)
    elif trial is history.result.best:
        up = y.place(history.best_score)
    elif (score := shown_score(trial)) is not None:
        up = y.place(score)
    else:
        up = y.low - 0.06 * y.width if trial.ended else None
    return None if across is None or up is None else (across, up)


def _round_legend(history: SweepHistory) -> list[Any]:
    """The color of each round's ranges."""
    from matplotlib.patches import Patch

    def round_label(round_: SearchRound) -> str:
        return f"{style.round_name(history, round_)}: {format_size(round_)}"

    return [
        Patch(fill=False, edgecolor=style.shade(history, round_), linewidth=1.3, label=round_label(round_))
        for round_ in history.searches
    ]


def _draw_color_bar(figure: Any, history: SweepHistory, scores: Axis, most: int, **place: Any) -> None:
    """Draw the colors of the scores, with `most` labels at the most."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(scores.low, scores.high), style.colors(history)), **place)
    ticks = scores.ticks(most)
    bar.set_ticks([t for t, _ in ticks], labels=[text for _, text in ticks])
    bar.set_label(scores.label)
    bar.outline.set_visible(False)
