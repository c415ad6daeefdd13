"""Losses of class scores. Targets are class indices [B] or class probabilities [B, K]; the result is a mean over B."""

from __future__ import annotations

from torch import nn


class CrossEntropy(nn.CrossEntropyLoss):
    """`L_i = -log(exp(s_y) / sum_j exp(s_j))`: torch's own. Near ln K at random initialisation."""

    def __init__(self) -> None:
        super().__init__()
