"""Whether probabilities mean what they say: calibration error, and the temperature that lowers it. N images, K classes.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_BINS = 15  # as in the paper
LOWEST, HIGHEST = 0.01, 100.0  # temperatures that are looked at
NUM_HALVINGS = 60


@dataclass(frozen=True)
class Reliability:
    """How often predictions of one confidence are right.

    Args:
        error: the expected calibration error: the mean distance of confidence and accuracy, weighted by images.
        confidence, accuracy: the means in each bin that has images.
        num_images: in these bins.
    """

    error: float
    confidence: list[float]
    accuracy: list[float]
    num_images: list[int]


def reliability(probabilities_NK: Tensor, labels_N: Tensor, num_bins: int = NUM_BINS) -> Reliability:
    """Of the predicted class, in bins of equal width over (0, 1]."""
    confidence_N, predicted_N = probabilities_NK.double().max(1)
    right_N = (predicted_N == labels_N).double()
    bins_N = (confidence_N * num_bins).ceil().long().clamp(1, num_bins) - 1
    counts = torch.bincount(bins_N, minlength=num_bins)
    filled = counts.nonzero().flatten()
    confidence = torch.bincount(bins_N, confidence_N, num_bins)[filled] / counts[filled]
    accuracy = torch.bincount(bins_N, right_N, num_bins)[filled] / counts[filled]
    error = ((confidence - accuracy).abs() * counts[filled]).sum() / len(labels_N)
    return Reliability(error.item(), confidence.tolist(), accuracy.tolist(), counts[filled].tolist())


def fit_temperature(scores_NK: Tensor, labels_N: Tensor) -> float:
    """The temperature T for which softmax(scores / T) gives the labels the least cross entropy.

    Found by bisection of its derivative by 1 / T, for the cross entropy is convex in that.
    """
    scores, labels = scores_NK.double(), labels_N
    scores = scores - scores.max(1, keepdim=True).values
    own = scores.gather(1, labels[:, None])[:, 0]

    def slope(inverse: float) -> float:
        """The derivative of the mean cross entropy by 1 / T."""
        expected = (F.softmax(scores * inverse, dim=1) * scores).sum(1)
        return (expected - own).mean().item()

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(high) <= 0:  # every image is right: the surer the better, without end
        return LOWEST
    if slope(low) >= 0:
        return HIGHEST
    for _ in range(NUM_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low * high) ** -0.5
