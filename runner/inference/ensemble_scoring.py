"""Several runs on one test split: each alone, their mean, and all together. M members, N images, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from runner.errors import UserError
from runner.inference.classifier import Classifier, check_same_classes
from runner.inference.ensemble import TINY, Averaging, Bootstrap, bootstrap, choose_greedily, combine, member_names
from runner.inference.scoring import Scored, score
from runner.inference.weights import BEST
from runner.store import RunFolder
from runner.store.config_file import FORMAT


@dataclass(frozen=True)
class MemberScores:
    """Accuracy with its interval over resampled images, and mean cross entropy of the label's probability."""

    accuracy: Bootstrap
    loss: float


@dataclass(frozen=True)
class EnsembleScores:
    """What `runner test RUN RUN ..` tells.

    Args:
        gain: accuracy of the ensemble above that of its mean member.
        weights: of the members, where these were chosen greedily; else empty.
    """

    names: list[str]
    members: list[MemberScores]
    mean_member: MemberScores
    ensemble: MemberScores
    gain: Bootstrap
    weights: list[float]
    averaging: Averaging
    num_images: int

    def to_json(self) -> dict[str, Any]:
        """As `--out` writes it."""
        return {"format": FORMAT, **asdict(self)}


def score_ensemble(
    folders: Sequence[RunFolder],
    overrides: Sequence[str] = (),
    weights: str = BEST,
    trust: bool = False,
    data: str | None = None,
    averaging: Averaging = "probabilities",
    greedy: bool = False,
) -> EnsembleScores:
    """Score several runs on the test split, each in its own folder too, and together.

    Args:
        data, weights, overrides, trust: as for one run.
        greedy: choose members by their loss on the validation split, which all must share.

    Raises:
        UserError: a run cannot be read, or the runs differ in classes or images.
    """
    members = [Classifier.load(folder, overrides, weights, trust) for folder in folders]
    check_same_classes(members)
    scored = [score(member, data)[1] for member in members]
    _check_same_images(scored)
    labels = scored[0].labels
    probabilities = torch.stack([one.probabilities for one in scored])
    picks, shares = list(range(len(members))), []
    if greedy:
        picks = _chosen(scored)
        shares = [picks.count(place) / len(picks) for place in range(len(members))]
    together = combine(probabilities[picks], averaging)
    own = [_right(one, labels) for one in probabilities]
    mean_right = torch.stack(own).mean(0)
    losses = [_loss(one, labels) for one in probabilities]
    ensemble_right = _right(together, labels)
    return EnsembleScores(
        member_names([member.folder.path for member in members]),
        [MemberScores(bootstrap(right), loss) for right, loss in zip(own, losses, strict=True)],
        MemberScores(bootstrap(mean_right), sum(losses) / len(losses)),
        MemberScores(bootstrap(ensemble_right), _loss(together, labels)),
        bootstrap(ensemble_right - mean_right),
        shares,
        averaging,
        len(labels),
    )


def _chosen(scored: Sequence[Scored]) -> list[int]:
    """Members by the greedy choice on the validation split."""
    _, first = scored[0].val
    for one in scored:
        if not torch.equal(one.val[1], first):
            raise UserError(
                f"--greedy: {one.classifier.folder.path} has another validation split than "
                f"{scored[0].classifier.folder.path}; name runs with the same data.val_fraction and data.split_seed"
            )
    return choose_greedily(torch.stack([one.val[0].softmax(1) for one in scored]), first)


def _check_same_images(scored: Sequence[Scored]) -> None:
    first = scored[0]
    for one in scored[1:]:
        if not torch.equal(one.labels, first.labels):
            raise UserError(
                f"{one.classifier.folder.path}: its test images are not those of {first.classifier.folder.path}; "
                "name runs on the same data"
            )


def _right(probabilities_NK: Tensor, labels_N: Tensor) -> Tensor:
    return (probabilities_NK.argmax(1) == labels_N).double()


def _loss(probabilities_NK: Tensor, labels_N: Tensor) -> float:
    own = probabilities_NK.gather(1, labels_N[:, None])[:, 0]
    return -own.double().clamp(min=TINY).log().mean().item()
