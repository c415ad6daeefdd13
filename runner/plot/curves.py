"""Pictures of metrics over epochs. Imports no torch."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runner.statistics import interval

MOST = 10  # curves that can still be told apart
LEAST_ENLARGED = 6  # epochs, from which on the last ones are drawn again
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888")  # Okabe and Ito's, 2008
STYLES = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)))  # so that a line on another one is seen; dotted: not finished
DARK: Any = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "#16191d"),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), "#e6e8eb"),
    "grid.color": "#9aa3ad",
}


@dataclass(frozen=True)
class Curve:
    """Repeats of one training: each run is its epochs with the metric's values."""

    label: str
    runs: Sequence[Sequence[tuple[float, float]]]
    finished: bool = True


@dataclass(frozen=True)
class Band:
    """The mean over runs at each epoch that all of them reached, with its bounds."""

    epochs: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def band(runs: Sequence[Sequence[tuple[float, float]]]) -> Band:
    """Mean and bounds: the 95% interval of three runs or more, least and most of two, the curve itself of one."""
    by_epoch = [dict(run) for run in runs if run]
    shared = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    found = Band(shared, [], [], [])
    for epoch in shared:
        values = [values[epoch] for values in by_epoch]
        estimate = interval(values)
        wide = estimate.n > 2
        found.mean.append(estimate.mean)
        found.low.append(estimate.ci_low if wide else min(values))
        found.high.append(estimate.ci_high if wide else max(values))
    return found


def draw_curves(
    curves: Sequence[Curve],
    metric: str,
    file: Path | IO[bytes],
    format_: str = "png",
    dark: bool = False,
    narrow: bool = False,
) -> None:
    """Draw the first ten curves: means as lines with their bands, and the end of all again, enlarged.

    Args:
        dark: for a dark page.
        narrow: for the screen of a phone: the end below the whole.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = curves[:MOST]
    bands = [band(curve.runs) for curve in shown]
    labels = [_label(curve, b, 50 if narrow else 110) for curve, b in zip(shown, bands, strict=True)]
    lines = sum(label.count("\n") + 1 for label in labels)
    last = max((epoch for b in bands for epoch in b.epochs), default=0)
    with rc_context(DARK if dark else {}):
        count = 2 if last >= LEAST_ENLARGED else 1
        size = (4.6, 3.2 * count + 0.2 * lines) if narrow else (10, 4.2 + 0.2 * lines)
        figure = Figure(figsize=size, layout="constrained")
        whole, *end = figure.subplots(*((count, 1) if narrow else (1, count)), squeeze=False).flatten()
        panels = [whole, *end]
        for axes in panels:
            _draw_panel(axes, shown, bands, labels, metric)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.set(xlabel="epoch", ylabel=metric)
        for axes in end:
            _enlarge_end(axes, bands, last)
        room = 63 if narrow else 70 if end else 140  # characters above the first panel, up to the next or to the edge
        whole.set_title(textwrap.fill(_explanation(shown, len(curves)), room), fontsize=9, loc="left")
        figure.legend(*whole.get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=9)
        figure.savefig(file, dpi=130, format=format_)


def _draw_panel(axes: Any, shown: Sequence[Curve], bands: Sequence[Band], labels: Sequence[str], metric: str) -> None:
    logarithmic = "loss" in metric and all(value > 0 for b in bands for value in b.mean)
    lowest = min((value for b in bands for value in b.mean), default=1.0)
    most = 1.0 if metric.endswith("accuracy") else math.inf
    for index, (curve, b, label) in enumerate(zip(shown, bands, labels, strict=True)):
        color, style = COLORS[index % len(COLORS)], STYLES[index % len(STYLES)] if curve.finished else ":"
        marker = "o" if len(b.epochs) < 3 else None
        axes.plot(b.epochs, b.mean, color=color, linestyle=style, marker=marker, label=label, linewidth=1.8)
        # An interval may reach beyond what can be, or below zero, where a logarithmic axis has no place.
        least = lowest / 10 if logarithmic else 0.0 if metric.endswith(("accuracy", "loss")) else -math.inf
        low, high = ([min(max(value, least), most) for value in bound] for bound in (b.low, b.high))
        axes.fill_between(b.epochs, low, high, color=color, alpha=0.15, linewidth=0)
    if logarithmic:
        axes.set_yscale("log")


def _enlarge_end(axes: Any, bands: Sequence[Band], last: float) -> None:
    """Show the last third of the epochs, with the values that the lines have there, but for far outliers."""
    begin = last - max(2.0, (last - 1) / 3)
    values = sorted(value for b in bands for epoch, value in zip(b.epochs, b.mean, strict=True) if epoch >= begin)
    middle = values[len(values) // 4 : len(values) - len(values) // 4] or values
    reach = 4 * (middle[-1] - middle[0]) + 1e-3 * abs(middle[0])
    inside = [value for value in values if middle[0] - reach <= value <= middle[-1] + reach]
    low, high = min(inside), max(inside)
    if axes.get_yscale() == "log":
        axes.set_ylim(low / 1.1, high * 1.1)
    else:
        edge = 0.08 * (high - low) or 0.01
        axes.set_ylim(low - edge, high + edge)
    axes.set_xlim(begin, last + 0.02 * (last - begin))
    axes.set_title("the last epochs", fontsize=9, loc="left")


def _label(curve: Curve, of: Band, width: int) -> str:
    about = "" if curve.finished else " (not finished)"
    return textwrap.fill(f"{curve.label}{about if of.epochs else ' (no values)'}", width)


def _explanation(shown: Sequence[Curve], total: int) -> str:
    """What is drawn: which rows, and what the bands are."""
    counts = [sum(1 for run in curve.runs if run) for curve in shown]
    parts = [f"the first {len(shown)} of {total} rows"] if total > len(shown) else []
    bands = ["95% interval over runs"] if max(counts, default=0) > 2 else []
    bands += ["least and most of two runs"] if 2 in counts else []
    if bands:
        parts.append(f"line: mean, band: {', '.join(bands)}")
    if any(count and not curve.finished for count, curve in zip(counts, shown, strict=True)):
        parts.append("dotted: no run has finished")
    return "; ".join(parts)
