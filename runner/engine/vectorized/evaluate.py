"""The scores of T trials on a split: what one trial does, mapped over their rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from runner.engine.evaluate import TTA, Evaluate, predict
from runner.engine.metrics import exact
from runner.engine.state import TrainState
from runner.engine.step import Step
from runner.engine.vectorized.state import VectorizedState
from runner.engine.vectorized.template import Template, batched_criteria


@dataclass
class VectorizedEvaluate(Evaluate):
    """`evaluate(state)`: loss and accuracy of each trial's scored network; nothing for those that have left."""

    template: Template
    steps: Sequence[Step]

    def __call__(self, state: TrainState) -> list[dict[str, float]]:
        assert isinstance(state, VectorizedState)
        index = torch.tensor(state.present, device=state.device)
        rows, network = state.scored_rows, self.template.network
        criteria = batched_criteria([self.steps[trial] for trial in state.present], state.device)
        augmented = _Augmented(network, self.tta)

        def tta(network: nn.Module, images: Tensor) -> Tensor:
            tensors = {**rows.views, **rows.others, **self.template.drawing(index, 0)}
            given = {f"network.{name}": tensor for name, tensor in tensors.items()}
            return torch.vmap(lambda own: functional_call(augmented, own, (images,)))(given)

        def criterion(scores: Tensor, labels: Tensor) -> Tensor:
            of_one = torch.vmap(lambda numbers, own: criteria.with_numbers(numbers)(own, labels))
            return of_one(criteria.numbers, scores)

        scores, labels, losses = predict(network, self.batches, criterion, self.precision, tta)
        self.keep(state.present, scores, labels)
        accuracies = (scores.argmax(-1) == labels).to(exact(labels.device)).mean(-1)
        records: list[dict[str, float]] = [{} for _ in state.trials]
        for trial, loss, accuracy in zip(state.present, losses.tolist(), accuracies.tolist(), strict=True):
            records[trial] = {"val/loss": loss, "val/accuracy": accuracy}
        return records


class _Augmented(nn.Module):
    """Images to the scores of a network with test-time augmentation."""

    def __init__(self, network: nn.Module, tta: TTA) -> None:
        super().__init__()
        self.network = network
        self.tta = tta

    def forward(self, images: Tensor) -> Tensor:
        return self.tta(self.network, images)
