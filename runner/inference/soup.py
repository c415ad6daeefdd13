"""The mean of the weights of several checkpoints: a model soup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from runner import build, files
from runner.average import recompute_statistics
from runner.errors import UserError
from runner.inference.classifier import Classifier, check_same_classes
from runner.inference.export import write_weights


@dataclass(frozen=True)
class Soup:
    """Validation accuracy of each member, and of the mean of their weights."""

    accuracies: list[float]
    accuracy: float


def average_weights(members: Sequence[Classifier], file: Path) -> Soup:
    """Write the mean of the members' weights, with normalization statistics of the training images.

    Source: Wortsman et al. 2022, Model soups (the uniform one); statistics as in Izmailov et al. 2018.

    Raises:
        UserError: the members are not of one architecture or one preprocessing.
    """
    if len(members) < 2:
        raise UserError("average: name several runs, or several checkpoints of one by --weights epoch-0008,epoch-0009")
    check_same_classes(members)
    first = members[0]
    states = [member.network.state_dict() for member in members]
    for member, state in zip(members, states, strict=True):
        _check_alike(first, member, states[0], state)
    accuracies = [_accuracy(member) for member in members]
    with torch.no_grad():
        for name, value in first.network.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[name].double() for state in states]).mean(0))
    dataset = build.data(first.cfg)
    train = build.batches(dataset, "train", first.preprocess, first.device, first.settings)
    recompute_statistics(first.network, train.epoch())
    files.replace_file(file, write_weights(first))
    return Soup(accuracies, _accuracy(first))


def _accuracy(member: Classifier) -> float:
    scores, labels, _ = member.scores(build.data(member.cfg), "val")
    return (scores.argmax(1) == labels).double().mean().item()


def _check_alike(first: Classifier, member: Classifier, one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    shapes, others = ({name: tuple(value.shape) for name, value in state.items()} for state in (one, other))
    if shapes != others:
        name = next(iter(sorted(set(shapes.items()) ^ set(others.items()))))[0]
        raise UserError(
            f"{member.folder.path}: its network differs from that of {first.folder.path} in {name}; average those "
            "of one architecture"
        )
    prepared, also = (one.preprocess.state_dict() for one in (first, member))
    if any(not torch.equal(prepared[name], also[name]) for name in prepared):
        raise UserError(f"{member.folder.path}: its preprocessing is not that of {first.folder.path}")
