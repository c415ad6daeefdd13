"""The reliability diagram: accuracy over confidence. Imports no torch."""

from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

from runner.plot.curves import COLORS


class Points(NamedTuple):
    """One curve: means of confidence and accuracy in each bin, and the images there."""

    label: str
    confidence: Sequence[float]
    accuracy: Sequence[float]
    num_images: Sequence[int]


def draw_reliability(curves: Sequence[Points], title: str) -> bytes:
    """A PNG: on the diagonal, predictions of 80% are right in 80% of the cases. Below, the share of images by bin.

    Source: Guo et al. 2017, figure 1.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--", label="accuracy = confidence")
    for curve, color in zip(curves, COLORS, strict=False):
        above.plot(curve.confidence, curve.accuracy, color=color, marker="o", markersize=4, label=curve.label)
        total = max(1, sum(curve.num_images))
        shares = [count / total for count in curve.num_images]
        below.vlines(curve.confidence, 0, shares, color=color, linewidth=5, alpha=0.6)
    above.set(xlim=(0, 1.01), ylim=(0, 1.02), ylabel="accuracy")
    above.set_title(title, loc="left", fontsize=11)
    above.legend(frameon=False, fontsize=9, loc="best")
    below.set(xlabel="confidence (probability of the predicted class)", ylabel="share of images", ylim=(0, None))
    for panel in (above, below):
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
