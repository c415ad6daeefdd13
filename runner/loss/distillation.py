"""Distillation: the loss of a network that learns from another one's scores beside the labels.

B images, K classes.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import Fraction, Positive


class Distillation(nn.Module):
    """`L = (1 - alpha) * CE(s, t) + alpha * T^2 * KL(softmax(z / T) || softmax(s / T))`, z the teacher's scores.

    Targets [B, 2 K] are the class probabilities t and the teacher's scores z, side by side, as the step makes them.
    Without a teacher's scores, labels [B] or class probabilities [B, K], it is the cross-entropy alone: so is the loss
    on the validation split. T is the temperature. Source: Hinton et al. 2015, Distilling the Knowledge in a Neural
    Network, section 2; the divergence is their cross-entropy less a constant, 0 for a student that equals its teacher.

    Args:
        teacher: the run whose network teaches; `build` reads it.
    """

    def __init__(self, teacher: str | int, alpha: Fraction = 0.5, temperature: Positive = 4.0) -> None:
        super().__init__()
        self.teacher = teacher
        self.alpha = alpha
        self.temperature = temperature

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        K, T = scores_BK.shape[1], self.temperature
        if targets.ndim == 1 or targets.shape[1] == K:
            return F.cross_entropy(scores_BK, targets)
        targets_BK, taught_BK = targets.split(K, dim=1)
        soft = (taught_BK / T).softmax(1)
        divergence = (soft * ((taught_BK / T).log_softmax(1) - (scores_BK / T).log_softmax(1))).sum(1).mean()
        return (1 - self.alpha) * F.cross_entropy(scores_BK, targets_BK) + self.alpha * T**2 * divergence
