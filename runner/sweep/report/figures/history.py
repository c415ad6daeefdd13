"""The optimization history: every trial as it ended, and the best score so far."""

import itertools
from typing import Any

from runner.sweep.record.rounds import FinalRound, Round
from runner.sweep.report.figures import style
from runner.sweep.report.figures.axes import Axis, score_axis
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import format_epochs

CAPTION = "Every trial as it ended, and the best score so far. Where the line stays flat, more trials were of no use."


def draw_history(history: SweepHistory) -> Any:
    """The best so far, against trials and against seconds.

    Raises:
        NothingToDraw: no trial has a score.
    """
    scores = style.needed(score_axis(history))
    figure, (left, right) = style.panels(10, 4.2, 1, 2, sharey=True)
    for panel, along, label in ((left, "place", "trials ended"), (right, "seconds", "seconds")):
        _draw_history(panel, history, scores, along)
        panel.set_xlabel(label)
        panel.set_title(" \n ", fontsize=8)  # room for the rounds' names
    right.set_ylabel("")
    handles = [*left.get_legend_handles_labels()[0], *style.signs(history, best=False)]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel, along in ((left, "place"), (right, "seconds")):
        _name_rounds(panel, history, along)
    return figure


def _draw_history(panel: Any, history: SweepHistory, scores: Axis, along: str) -> None:
    style.dress(panel, scores, "y", 8)
    trials = {trial.trial: trial for trial in history.trials}
    dots = []
    for end in history.ends:
        trial = trials[end.trial]
        at = getattr(end, along)
        if trial.status in style.CROSSES:
            panel.scatter(at, scores.low, marker=style.CROSSES[trial.status], s=28, color=style.INK, linewidths=1)
        elif trial.score is not None:
            color = style.color_of(scores, history, trial.score)
            face, rim = ("white", color) if trial.status == "pruned" else (color, "white")
            dots.append(((at, scores.place(trial.score)), 30, face, rim, 0.8))
    style.draw_dots(panel, dots)
    line = [(getattr(end, along), best) for end, best in zip(history.ends, history.best_so_far(), strict=True)]
    known = [(at, scores.place(best)) for at, best in line if best is not None]
    if known:
        named: dict[str, Any] = {"label": "best so far", "gid": "best so far"}
        panel.plot(
            *zip(*known, strict=True), color=style.STAR, linewidth=1.8, drawstyle="steps-post", zorder=1.5, **named
        )
    panel.set_xlim(0, (max(getattr(end, along) for end in history.ends) if history.ends else 1) * 1.02)
    for start, *_ in _round_spans(history, along)[1:]:
        panel.axvline(start, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.9)


def _round_spans(history: SweepHistory, along: str) -> list[tuple[float, float, Round]]:
    """Where each round begins and ends along the axis: half-way between the ends of trials.

    A round that was given more trials later has a span for these.
    """
    round_of = {trial.trial: trial.round for trial in history.trials}
    runs = [(index, list(ends)) for index, ends in itertools.groupby(history.ends, lambda end: round_of[end.trial])]
    found: list[tuple[float, float, Round]] = []
    before = 0.0
    for (index, own), (_, after) in zip(runs, [*runs[1:], (-1, [])], strict=True):
        last = getattr(own[-1], along)
        end = (last + getattr(after[0], along)) / 2 if after else last
        found.append((before, end, history.rounds[index]))
        before = end
    return found


def _name_rounds(panel: Any, history: SweepHistory, along: str) -> None:
    """Write above each round what it is, in as many words as there is room for."""
    for start, end, round_ in _round_spans(history, along):
        low, high = panel.transData.transform([(start, 0), (end, 0)])[:, 0] * 72 / panel.figure.dpi
        number, epochs = history.label(round_), format_epochs(round_)
        final = isinstance(round_, FinalRound)
        name, short = (number, "F") if final else (f"round {number}", number)
        for text in (f"{name}: {epochs}" if epochs else name, f"{name}\n{epochs}", short):
            if 4.7 * max(map(len, text.split("\n"))) < high - low - 4 * (text != short):
                break
        else:
            continue
        look: dict[str, Any] = {"fontsize": 8, "color": style.QUIET, "ha": "center", "va": "bottom"}
        panel.text((start + end) / 2, 1.01, text.strip(), transform=panel.get_xaxis_transform(), **look)
