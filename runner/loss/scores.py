"""Losses of class scores. Targets are class indices [B] or class probabilities [B, K]; the result is a mean over B."""

import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import Positive


class CrossEntropy(nn.CrossEntropyLoss):
    """`L_i = -log(exp(s_y) / sum_j exp(s_j))`: torch's own. Near ln K at random initialization."""

    def __init__(self) -> None:
        super().__init__()


class Hinge(nn.Module):
    """The multiclass SVM: `L_i = sum_{j != y} max(0, s_j - s_y + margin)`. Near K - 1 at random initialization.

    torch's MultiMarginLoss is this divided by K, and takes no class probabilities. For those, the expected loss over
    the target's distribution. Scores 3.2, 5.1, -1.7 with the first class true give 2.9.
    Source: Weston and Watkins 1999.
    """

    def __init__(self, margin: Positive = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 1:
            right = scores_BK.gather(1, targets[:, None])
            return self._sums(scores_BK[:, None] - right[:, :, None]).mean()
        differences = scores_BK[:, None, :] - scores_BK[:, :, None]  # [B, true class, other class]
        return (targets * self._sums(differences)).sum(1).mean()

    def _sums(self, differences: Tensor) -> Tensor:
        # The true class itself contributes exactly the margin, which is taken off again.
        return F.relu(differences + self.margin).sum(-1) - self.margin
