"""Pictures of metrics over epochs. Imports no torch."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runner.statistics import interval

MOST = 10  # curves that can still be told apart


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


def draw_curves(curves: Sequence[Curve], metric: str, file: Path | IO[bytes], format_: str = "png") -> None:
    """Draw the first ten curves: means as lines, dashed where no run has finished, and their bands."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = curves[:MOST]
    bands = [band(curve.runs) for curve in shown]
    labels = [
        textwrap.fill(curve.label if b.epochs else f"{curve.label} (no values)", 90)
        for curve, b in zip(shown, bands, strict=True)
    ]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(8, 4.6 + 0.2 * lines), layout="constrained")
    axes = figure.subplots()
    logarithmic = "loss" in metric and all(value > 0 for b in bands for value in b.mean)
    lowest = min((value for b in bands for value in b.mean), default=1.0)
    for index, (curve, b, label) in enumerate(zip(shown, bands, labels, strict=True)):
        color = f"C{index}"
        style = "-" if curve.finished else "--"
        marker = "o" if len(b.epochs) < 3 else None
        axes.plot(b.epochs, b.mean, color=color, linestyle=style, marker=marker, label=label, linewidth=1.8)
        # An interval may reach below zero, where a logarithmic axis has no place.
        low = [max(value, lowest / 10) for value in b.low] if logarithmic else b.low
        axes.fill_between(b.epochs, low, b.high, color=color, alpha=0.15, linewidth=0)
    if logarithmic:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.set(xlabel="epoch", ylabel=metric)
    axes.set_title(_explanation(shown, len(curves)), fontsize=9, loc="left")
    figure.legend(loc="outside lower left", frameon=False, fontsize=9)
    figure.savefig(file, dpi=130, format=format_)


def _explanation(shown: Sequence[Curve], total: int) -> str:
    """What is drawn: which rows, and what the bands are."""
    counts = [sum(1 for run in curve.runs if run) for curve in shown]
    parts = [f"the first {len(shown)} of {total} rows"] if total > len(shown) else []
    bands = ["95% interval over runs"] if max(counts, default=0) > 2 else []
    bands += ["least and most of two runs"] if 2 in counts else []
    if bands:
        parts.append(f"line: mean, band: {', '.join(bands)}")
    if any(count and not curve.finished for count, curve in zip(counts, shown, strict=True)):
        parts.append("dashed: no run has finished")
    return "; ".join(parts)
