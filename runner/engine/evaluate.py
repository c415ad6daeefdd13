"""Scores on a split, exact over all its images: the short last batch counts as what it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from runner.engine.metrics import exact
from runner.engine.precision import Precision
from runner.engine.state import TrainState

Loss = Callable[[Tensor, Tensor], Tensor]  # the mean of scores [B, K] and labels [B]
TTA = Callable[[nn.Module, Tensor], Tensor]  # a network and images to scores. See `runner.tta`


@dataclass
class Evaluate:
    """`evaluate(state)`: loss and accuracy of each trial's scored network on the validation split.

    Attributes:
        rest_of: the part of a network that the batches' values are the inputs of; None where they are images.
        latest: of the evaluation before, where `keeps` is set: the trials, their scores [.., N, K], the labels [N].
    """

    batches: Any
    criterion: nn.Module
    precision: Precision
    tta: TTA
    rest_of: Callable[[nn.Module], nn.Module] | None = field(default=None, init=False)
    keeps: bool = field(default=False, init=False)
    latest: tuple[list[int], Tensor, Tensor] | None = field(default=None, init=False)

    def predictions(self, trial: int) -> tuple[Tensor, Tensor] | None:
        """Scores [N, K] and labels [N] of a trial at the latest evaluation, if it had a part in it."""
        if self.latest is None or trial not in self.latest[0]:
            return None
        trials, scores, labels = self.latest
        return (scores[trials.index(trial)] if scores.ndim == 3 else scores), labels

    def __call__(self, state: TrainState) -> list[dict[str, float]]:
        network = state.scored_network if self.rest_of is None else self.rest_of(state.scored_network)
        scores, labels, loss = predict(network, self.batches, self.criterion, self.precision, self.tta)
        self.keep(state.present, scores, labels)
        accuracy = (scores.argmax(-1) == labels).to(exact(labels.device)).mean()
        return [{"val/loss": loss.item(), "val/accuracy": accuracy.item()}]

    def keep(self, trials: Sequence[int], scores: Tensor, labels: Tensor) -> None:
        """Keep what was predicted, if somebody looks at it."""
        self.latest = (list(trials), scores, labels) if self.keeps else None


@torch.inference_mode()
def predict(
    network: nn.Module, batches: Any, criterion: Loss, precision: Precision, tta: TTA
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [N, K], labels [N] and mean loss of all images, on the device. The network keeps its mode.

    Where the tta give scores [T, B, K] and the criterion losses [T], so is the outcome.
    """
    was_training = network.training
    network.eval()
    scores, labels, loss_sum, count = [], [], [], 0
    with precision.autocast():
        for images, batch_labels in batches.epoch():
            batch_scores = tta(network, images)
            loss = criterion(batch_scores, batch_labels)
            loss_sum.append(loss.to(exact(loss.device)) * len(batch_labels))
            scores.append(batch_scores.float())
            labels.append(batch_labels)
            count += len(batch_labels)
    network.train(was_training)
    return torch.cat(scores, dim=-2), torch.cat(labels), torch.stack(loss_sum).sum(0) / count
