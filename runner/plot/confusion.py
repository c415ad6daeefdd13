"""The picture of a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def draw_confusion_matrix(counts: Sequence[Sequence[int]], class_names: list[str], path: Path) -> None:
    """Draw counts [K, K] (rows: true class, columns: predicted) as shares of the true class."""
    from matplotlib.figure import Figure

    K = len(class_names)
    table = np.asarray(counts)
    shares = table / table.sum(1, keepdims=True).clip(min=1)
    side = min(16.0, max(4.5, 0.5 * K + 2))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class", title="Confusion matrix (test split)")
    if K <= 40:
        axes.set_xticks(range(K), class_names, rotation=45 if max(map(len, class_names)) > 2 else 0, ha="center")
        axes.set_yticks(range(K), class_names)
    if K <= 20:
        for row in range(K):
            for column in range(K):
                if table[row, column]:
                    color = "black" if shares[row, column] > 0.6 else "white"
                    text = str(table[row, column])
                    axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85)
    figure.savefig(path, dpi=130)
