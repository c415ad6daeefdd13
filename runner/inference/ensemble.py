"""Several classifiers as one. M members, N images, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.seeds import generator

Averaging = Literal["probabilities", "logits", "votes"]
MAX_PICKS = 50  # of the greedy choice
NUM_RESAMPLES = 2000
TINY = 1e-12  # the least probability whose logarithm is taken


def combine(probabilities_MNK: Tensor, averaging: Averaging = "probabilities") -> Tensor:
    """The class probabilities [N, K] of the members together.

    probabilities: their mean. logits: the softmax of the mean of their logarithms, which is that of the mean logits.
    votes: the share of members whose most probable class it is; ties go to the larger mean probability.
    """
    mean = probabilities_MNK.mean(0)
    if averaging == "probabilities":
        return mean
    if averaging == "logits":
        return probabilities_MNK.clamp(min=TINY).log().mean(0).softmax(1)
    M, _, K = probabilities_MNK.shape
    votes = F.one_hot(probabilities_MNK.argmax(2), K).sum(0) / M
    tie_breaker = mean / (4 * M)  # less than half a vote
    combined = votes + tie_breaker
    return combined / combined.sum(1, keepdim=True)


def choose_greedily(probabilities_MNK: Tensor, labels_N: Tensor, max_picks: int = MAX_PICKS) -> list[int]:
    """The members, some of them several times, whose mean probability gives these labels the least cross entropy.

    One after another, each the member that helps most, as long as one helps. Source: Caruana et al. 2004.
    """
    own_MN = probabilities_MNK[:, torch.arange(len(labels_N)), labels_N].double()
    total_N = torch.zeros_like(own_MN[0])
    picks: list[int] = []
    best = float("inf")
    while len(picks) < max_picks:
        losses_M = -((total_N + own_MN) / (len(picks) + 1)).clamp(min=TINY).log().mean(1)
        pick = int(losses_M.argmin())
        if losses_M[pick] >= best - 1e-9:
            break
        best = losses_M[pick].item()
        picks.append(pick)
        total_N += own_MN[pick]
    return picks


@dataclass(frozen=True)
class Bootstrap:
    """A mean with the bounds of its 95% interval over resampled images."""

    mean: float
    ci_low: float
    ci_high: float


def bootstrap(values_N: Tensor, seed: int = 0) -> Bootstrap:
    """Of the mean of a value for each image, such as whether it is right."""
    N = len(values_N)
    values = values_N.double()
    drawn = generator(seed, "bootstrap")
    means = torch.stack([values[torch.randint(N, (N,), generator=drawn)].mean() for _ in range(NUM_RESAMPLES)])
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return Bootstrap(values.mean().item(), low, high)


def member_names(paths: Sequence[object]) -> list[str]:
    """Short names of members, that tell them apart: the last parts of their paths."""
    texts = [str(path) for path in paths]
    for parts in range(1, 4):
        names = ["/".join(text.rstrip("/").split("/")[-parts:]) for text in texts]
        if len(set(names)) == len(set(texts)):
            return names
    return texts
