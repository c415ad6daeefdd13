"""What scores say of a classifier. N images, K classes."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from runner.engine.metrics import count_confusions
from runner.statistics import wilson

TOP = 5  # of six classes or more: of fewer the figure says little


def measure(scores_NK: Tensor, labels_N: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy with its 95% confidence interval, top-5 accuracy, figures of each class and their mean, and confusion.

    Intervals are Wilson's. Of a class without images recall and F1 are None, and so is the precision of a class that
    is never predicted, which is 0 in the means, as in scikit-learn's.
    """
    K = len(class_names)
    predicted_N = scores_NK.argmax(1)
    counts_KK = count_confusions(predicted_N, labels_N, K)
    top5 = None
    if K > TOP:
        top5 = (scores_NK.topk(TOP, dim=1).indices == labels_N[:, None]).any(1).double().mean().item()
    by_class = {}
    for k, name in enumerate(class_names):
        right, total, said = int(counts_KK[k, k]), int(counts_KK[k].sum()), int(counts_KK[:, k].sum())
        by_class[name] = {
            "num_images": total,
            "recall": right / total if total else None,
            "recall_ci": list(wilson(right, total)) if total else None,
            "precision": right / said if said else None,
            "precision_ci": list(wilson(right, said)) if said else None,
            "f1": 2 * right / (total + said) if total else None,
        }
    right = int((predicted_N == labels_N).sum())
    return {
        "accuracy": right / len(labels_N),
        "accuracy_ci": list(wilson(right, len(labels_N))),
        "top5_accuracy": top5,
        "macro": {key: _mean_over_classes(by_class, key) for key in ("recall", "precision", "f1")},
        "classes": by_class,
        "confusion": counts_KK.tolist(),
    }


def _mean_over_classes(by_class: dict[str, dict[str, Any]], key: str) -> float:
    values = [row[key] or 0.0 for row in by_class.values() if row["num_images"]]
    return sum(values) / len(values)
