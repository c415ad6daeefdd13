"""Names in TensorBoard, which sorts them as text: accuracy and loss first, histograms last."""

import math
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

BATCH_LOSS = "train/batch_loss"
BEST, TEST = "accuracy/best", "accuracy/test"
GRADIENT_NORM = "norm/gradient"
SAMPLES, CONFUSION, MISTAKES = "train/images", "val/confusion", "val/surest_mistakes"
END = "run/end"

# The tab Custom Scalars: train and val in one chart.
CHARTS = {
    "Train and val": {
        "accuracy": ["Multiline", ["accuracy/(train|val)$"]],
        "loss": ["Multiline", ["loss/(train|val)$"]],
    }
}


def figures(record: Mapping[str, float | None]) -> dict[str, float]:
    """The scalars of an epoch's record, by tag; NaN where a metric is no number."""
    return {tag_of(name): math.nan if value is None else value for name, value in metrics(record).items()}


def metrics(record: Mapping[str, Value]) -> dict[str, Value]:
    """What an epoch's record measures, without its place."""
    return {name: value for name, value in record.items() if name not in ("epoch", "step")}


def tag_of(metric: str) -> str:
    """The tag of a metric of metrics.jsonl.

    >>> tag_of("val/accuracy"), tag_of("lr"), tag_of("images_per_second")
    ('accuracy/val', 'lr', 'speed/images_per_second')
    """
    split, _, what = metric.partition("/")
    if what:
        return f"{what}/{split}"
    return f"speed/{metric}" if metric.endswith("_per_second") else metric
