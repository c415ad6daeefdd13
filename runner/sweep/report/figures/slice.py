"""The slice plot: the score against each key, with the ranges of the rounds beneath."""

import itertools
from typing import Any

from runner.sweep.report.figures import style
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shown_score
from runner.sweep.report.figures.importance import Importance, most_important
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import format_epochs
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
    from matplotlib.lines import Line2D

    scores = style.needed(score_axis(history))
    keys = most_important(history, importance, MAX_KEYS)
    columns = min(len(keys), 4 if len(keys) > 6 else 3)
    rows = -(-len(keys) // columns)
    strip = 0.16 * len(history.searches) + 0.1
    width, height = max(6.0, 0.9 + 3.2 * columns), 0.7 + (3.2 + strip) * rows
    spacing = {"height_ratios": [3.0, strip] * rows, "hspace": 0.02}
    figure, grid = style.panels(width, height, 2 * rows, columns, squeeze=False, gridspec_kw=spacing)
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
    by_label = {}
    for round_ in history.rounds:
        label = ": ".join(filter(None, [style.round_name(history, round_), format_epochs(round_)]))
        look: dict[str, Any] = {"marker": style.marker_of(history, round_), "color": style.shade(history, round_)}
        by_label[label] = Line2D([], [], linestyle="", label=label, **look)
    handles = [*by_label.values(), *style.signs(history)]
    longest = max(len(str(handle.get_label())) for handle in handles)
    wide = max(1, int(width / (0.5 + 0.078 * longest)))
    figure.legend(handles=handles, loc="outside upper left", ncols=wide, columnspacing=1.2, handletextpad=0.2)
    return figure


def _draw_key(panel: Any, history: SweepHistory, axis: Axis, scores: Axis) -> None:
    style.dress(panel, axis, "x", 5)
    style.dress_scores(panel, history, scores)
    panel.tick_params(axis="x", which="both", labelbottom=False, bottom=False)
    panel.set_xlabel("")
    panel.spines["bottom"].set_visible(False)
    for round_ in history.rounds:
        color, marker = style.shade(history, round_), style.marker_of(history, round_)
        dots: list[Any] = []
        hollow: list[Any] = []
        for trial in history.of_round(round_):
            across, score = style.scattered(history, trial, axis), shown_score(trial)
            if across is not None and trial.status in style.CROSSES:
                at, cross = (across, scores.low - 0.06 * scores.width), style.CROSSES[trial.status]
                panel.scatter(*at, marker=cross, s=30, color=style.INK, linewidths=1.1)
            elif across is not None and score is not None:
                (hollow if trial.status == "pruned" else dots).append((across, scores.place(score)))
        for places, face, rim, width in ((dots, color, "white", 0.5), (hollow, "none", color, 0.9)):
            if places:
                look = {"color": face, "edgecolors": rim, "linewidths": width}
                panel.scatter(*zip(*places, strict=True), s=30, marker=marker, **look)
    best = history.result.best
    if best is not None and (across := style.scattered(history, best, axis)) is not None:
        style.draw_star(panel, (across, scores.place(history.best_score)), 190, 0.9)


def _draw_spans(panel: Any, history: SweepHistory, axis: Axis) -> None:
    """The ranges of the rounds as bars, the first one on top; of options, their shares."""
    style.dress(panel, axis, "x", 5, grid=False)
    number = len(history.searches)
    panel.set_ylim(number - 0.4, -0.6)
    panel.set_yticks(range(number), [history.label(round_) for round_ in history.searches], fontsize=7.5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    for place, round_ in enumerate(history.searches):
        look: dict[str, Any] = {"color": style.shade(history, round_), "linewidth": 4.5, "solid_capstyle": "butt"}
        about = next((a for name, a in round_.ranges.items() if key_of(name) == axis.label and "options" in a), None)
        shares = [(axis.place(option), share) for option, share in (about["options"] if about else {}).items()]
        spans = [(middle - share * 0.45, middle + share * 0.45) for middle, share in shares if middle is not None]
        spans += [span for band, span in style.bands_of(history, axis) if band is round_]
        for span in spans:
            panel.plot(span, [place, place], **look)
