"""`transfer=auto`: what to train, by quick linear probes of several stages and by the images per class.

The lectures' advice, as a table of few or many images by near to or far from the source. Source: CS231n 2017, lecture
7; Yosinski et al. 2014, arXiv 1411.1792.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import PositiveInt
from runner.decay import is_decayed
from runner.init.initializers import score_layers
from runner.transfer.features import Pool
from runner.transfer.strategies import All, Head, LastBlocks, Transfer

MARGIN = 0.02  # of accuracy, by which an earlier stage has to be better than the last one


@dataclass(frozen=True)
class Choice:
    """What was picked, and why in one line."""

    transfer: Transfer
    why: str


@dataclass
class Auto(Transfer):
    """Picks head, last_blocks or all.

    Args:
        few_images: up to so many images per class are few.
        max_images: of the training split, that the probes look at.
    """

    few_images: PositiveInt = 50
    max_images: PositiveInt = 2000

    def pick(self, images_per_class: float, accuracies: Mapping[str, float]) -> Choice:
        """By the validation accuracy of a linear probe of each stage, from the first to the last.

        The images are near to the source where no earlier stage is better than the last by more than 0.02: what the
        source's classes taught the last layers serves the target's too.
        """
        *earlier, last = accuracies
        best = max(earlier, key=lambda stage: accuracies[stage], default=last)
        near = accuracies[best] <= accuracies[last] + MARGIN
        few = images_per_class <= self.few_images
        given = {"source": self.source, "head": self.head, "missing": self.missing}
        picked: Transfer
        if few and near:
            word, picked = "head", Head(**given)  # type: ignore[arg-type]
        elif near:
            word, picked = "last_blocks", LastBlocks(**given)  # type: ignore[arg-type]
        elif few:
            word, picked = "last_blocks", LastBlocks(**given, num_blocks=2)  # type: ignore[arg-type]
        else:
            word, picked = "all", All(**given)  # type: ignore[arg-type]
        seen = ", ".join(f"{stage} {accuracy:.3f}" for stage, accuracy in accuracies.items())
        why = (
            f"picked {word}: {images_per_class:.0f} images per class are {'few' if few else 'many'}, and the probes "
            f"({seen}) say {'near' if near else 'far'}"
        )
        if few and not near:
            why += f"; also try transfer=features transfer.stage={best}"
        return Choice(picked, why)

    def rates(self, num_blocks: int) -> Sequence[None]:
        raise NotImplementedError  # it is replaced by what it picks


def probed_stages(network: nn.Module, most: int = 3) -> list[str]:
    """Names of layers whose outputs are probed, spread over the network, the last one that before the head.

    Each ends a block: it is the last layer before another one with weights.
    """
    heads = {id(layer) for layer in score_layers(network)}
    entries: list[tuple[str, nn.Module]] = []
    pending = list(network.named_children())
    while pending:
        path, module = pending.pop(0)
        if isinstance(module, nn.Sequential | nn.ModuleList):
            pending[:0] = [(f"{path}.{name}", child) for name, child in module.named_children()]
        elif not any(id(layer) in heads for layer in module.modules()):
            entries.append((path, module))
    ends: list[str] = []
    for path, module in entries:
        if any(is_decayed(parameter) for parameter in module.parameters()):
            ends.append(path)
        elif ends:
            ends[-1] = path
    count = min(most, len(ends))
    return [ends[round((place + 1) * len(ends) / count) - 1] for place in range(count)]


@contextmanager
def watched(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """In evaluation mode, what these layers gave at the latest pass, averaged over places: features [B, F] by name."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        seen[name] = Pool()(output).flatten(1)

    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name in names
    ]
    was_training = network.training
    network.eval()
    try:
        yield seen
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()


def ridge_accuracy(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], num_classes: int, strength: float = 1e-2
) -> float:
    """Validation accuracy of a linear classifier by least squares on standardized features [N, F] and labels [N].

    `W = (X^T X + strength * N * I)^-1 X^T Y` with one-hot Y, in double precision, so it is the same everywhere.
    """
    (features, labels), (val_features, val_labels) = train, val
    mean, std = features.double().mean(0), features.double().std(0, correction=0).clamp(min=1e-6)
    X = F.pad((features.double() - mean) / std, (0, 1), value=1.0)
    V = F.pad((val_features.double() - mean) / std, (0, 1), value=1.0)
    Y = F.one_hot(labels, num_classes).double()
    N, P = X.shape
    if P <= N:
        W = torch.linalg.solve(X.T @ X + strength * N * torch.eye(P, dtype=X.dtype), X.T @ Y)
    else:  # the same W by the smaller system
        W = X.T @ torch.linalg.solve(X @ X.T + strength * N * torch.eye(N, dtype=X.dtype), Y)
    return ((V @ W).argmax(1) == val_labels).double().mean().item()
