"""What scores say of a classifier. N images, K classes."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from runner.engine.metrics import count_confusions


def measure(scores_NK: Tensor, labels_N: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, top-5 accuracy, the confusion matrix, and recall, precision and number of images of each class."""
    K = len(class_names)
    predicted_N = scores_NK.argmax(1)
    counts_KK = count_confusions(predicted_N, labels_N, K)
    top = scores_NK.topk(min(5, K), dim=1).indices
    by_class = {
        name: {
            "num_images": int(counts_KK[k].sum()),
            "recall": _ratio(counts_KK[k, k], counts_KK[k].sum()),
            "precision": _ratio(counts_KK[k, k], counts_KK[:, k].sum()),
        }
        for k, name in enumerate(class_names)
    }
    return {
        "accuracy": (predicted_N == labels_N).double().mean().item(),
        "top5_accuracy": (top == labels_N[:, None]).any(1).double().mean().item(),
        "classes": by_class,
        "confusion": counts_KK.tolist(),
    }


def _ratio(part: Tensor, whole: Tensor) -> float | None:
    return (part / whole).item() if whole else None
