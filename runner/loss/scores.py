"""Losses of class scores. Targets are class indices [B] or class probabilities [B, K]; the result is a mean over B.

B images, K classes, s scores, t class probabilities, p softmax probabilities. `class_weights` multiply the loss of an
image by that of its class; a mixed image has the mean of its classes. The mean is over images, not over weights as in
torch, so accumulated gradients are those of the whole batch. `balanced` is `n / (K n_k)`, with n_k of the n training
images in class k: the mean weight of an image is 1.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import NonNegative, OpenFraction, Positive
from runner.errors import UserError

ClassWeights = Literal["none", "balanced"] | Sequence[NonNegative]


def weights_of_classes(chosen: ClassWeights, class_counts: Sequence[int] | None) -> Tensor | None:
    """The weight of each class [K]; None for none.

    Raises:
        UserError: there is not one for each class, all are 0, or a class to be balanced has no training image.
    """
    if chosen == "none":
        return None
    if isinstance(chosen, str):
        assert class_counts is not None, "build gives the counts of the training split"
        if 0 in class_counts:
            raise UserError(
                f"loss.class_weights: class {class_counts.index(0)} has no training image; give a list of weights"
            )
        counts = torch.tensor(class_counts, dtype=torch.float64)
        return (counts.sum() / (len(counts) * counts)).float()
    if class_counts is not None and len(chosen) != len(class_counts):
        raise UserError(f"loss.class_weights: must have {len(class_counts)} weights, one a class, not {len(chosen)}")
    if not any(chosen):
        raise UserError("loss.class_weights: must not all be 0")
    return torch.tensor([float(weight) for weight in chosen])


class _Weighted(nn.Module):
    """A loss of each class in its turn, as if that were the true one, or of each image."""

    class_weights: Tensor | None

    def __init__(self, class_weights: ClassWeights = "none", class_counts: Sequence[int] | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", weights_of_classes(class_weights, class_counts))

    def _expected(self, losses_BK: Tensor, targets: Tensor) -> Tensor:
        """The mean over images of the loss expected by their targets, each class's by its weight."""
        if targets.ndim == 1:
            losses_B = losses_BK.gather(1, targets[:, None]).squeeze(1)
            return (losses_B if self.class_weights is None else losses_B * self.class_weights[targets]).mean()
        if self.class_weights is not None:
            losses_BK = losses_BK * self.class_weights
        return (targets * losses_BK).sum(1).mean()


class CrossEntropy(_Weighted):
    """`L_i = -w_y log(exp(s_y) / sum_j exp(s_j))`: torch's own. Near ln K at random initialization."""

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        if self.class_weights is None:
            return F.cross_entropy(scores_BK, targets)
        return F.cross_entropy(scores_BK, targets, self.class_weights, reduction="none").mean()


class BinaryCrossEntropy(_Weighted):
    """A yes or no for every class: `L_i = -mean_j (t_j log q_j + (1 - t_j) log(1 - q_j))`, q the sigmoid of the scores.

    Near ln 2 at random initialization. `sum_classes` sums over classes instead of taking the mean: K times as much.
    Class probabilities above `target_threshold` count as 1, the others as 0, so that a mixed image shows all its
    classes; None takes them as they are. Source: Wightman et al. 2021, ResNet strikes back; timm's BinaryCrossEntropy.
    """

    def __init__(
        self,
        sum_classes: bool = False,
        target_threshold: OpenFraction | None = None,
        class_weights: ClassWeights = "none",
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(class_weights, class_counts)
        self.sum_classes = sum_classes
        self.target_threshold = target_threshold

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 1:
            targets = (targets[:, None] == torch.arange(scores_BK.shape[1], device=targets.device)).to(scores_BK.dtype)
        weights = None if self.class_weights is None else (targets @ self.class_weights)[:, None]
        if self.target_threshold is not None:
            targets = (targets > self.target_threshold).to(scores_BK.dtype)
        losses_BK = F.binary_cross_entropy_with_logits(scores_BK, targets, reduction="none")
        losses_BK = losses_BK if weights is None else losses_BK * weights
        return losses_BK.sum(1).mean() if self.sum_classes else losses_BK.mean()


class Focal(_Weighted):
    """`L_i = -w_y (1 - p_y)^gamma log p_y`: images that are right already count less. `gamma` 0 is cross-entropy.

    The softmax form for several classes, where the paper has a sigmoid for each. For class probabilities, the expected
    loss over the target's distribution. Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4.
    """

    def __init__(
        self,
        gamma: NonNegative = 2.0,
        class_weights: ClassWeights = "none",
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(class_weights, class_counts)
        self.gamma = gamma

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        log_p = F.log_softmax(scores_BK, dim=1)
        # 1 - p by its own logarithm has a gradient for every gamma; near p = 1 it is cut off.
        others = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).eps)
        return self._expected(-(others**self.gamma) * log_p, targets)


class Hinge(_Weighted):
    """The multiclass SVM: `L_i = w_y sum_{j != y} max(0, s_j - s_y + margin)`. Near K - 1 at random initialization.

    torch's MultiMarginLoss is this divided by K, and takes no class probabilities. For those, the expected loss over
    the target's distribution. Scores 3.2, 5.1, -1.7 with the first class true give 2.9.
    Source: Weston and Watkins 1999.
    """

    def __init__(
        self,
        margin: Positive = 1.0,
        class_weights: ClassWeights = "none",
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(class_weights, class_counts)
        self.margin = margin

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 1 and self.class_weights is None:
            right = scores_BK.gather(1, targets[:, None])
            return self._sums(scores_BK[:, None] - right[:, :, None]).mean()
        differences = scores_BK[:, None, :] - scores_BK[:, :, None]  # [B, true class, other class]
        return self._expected(self._sums(differences), targets)

    def _sums(self, differences: Tensor) -> Tensor:
        # The true class itself contributes exactly the margin, which is taken off again.
        return F.relu(differences + self.margin).sum(-1) - self.margin
