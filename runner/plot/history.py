"""The picture of one training: loss, accuracy and learning rate over its epochs. Imports no torch."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from runner.plot.curves import COLORS

PANELS = (("loss", ("train/loss", "val/loss")), ("accuracy", ("train/accuracy", "val/accuracy")), ("rate", ("lr",)))
WIDE = 20.0  # ratio of the largest and the smallest value, from which on an axis is logarithmic


def draw_history(records: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """A PNG of the epochs' records, as metrics.jsonl has them. What is null or missing is left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 3.4), dpi=100)  # a layout that is computed would take twice as long
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.14, top=0.84, wspace=0.18)
    FigureCanvasAgg(figure)
    for axes, (name, metrics) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        values: list[float] = []
        for metric, color in zip(metrics, COLORS, strict=False):
            points = [(r["epoch"], r[metric]) for r in records if isinstance(r.get(metric), int | float)]
            if points:
                epochs, own = zip(*points, strict=True)
                marker = "o" if len(points) < 3 else None
                axes.plot(epochs, own, color=color, marker=marker, label=metric.partition("/")[0])
                values += own
        if len(metrics) > 1 and values:
            axes.legend(frameon=False)
        positive = [value for value in values if value > 0]
        if name == "loss" and positive and max(positive) > WIDE * min(positive):
            axes.set_yscale("log")
        axes.set_title("learning rate" if name == "rate" else name, loc="left", fontsize=10)
        if name == "rate":
            axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
