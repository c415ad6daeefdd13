"""Labels for new images. B images of a batch, C channels, S by S pixels, K classes."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from runner.data.decoding import UnreadableImage
from runner.data.folder import image_files
from runner.errors import UserError
from runner.inference.classifier import Classifier, check_same_classes
from runner.inference.ensemble import Averaging, combine
from runner.inference.weights import BEST
from runner.store import RunFolder

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Predictions:
    """What a classifier, or several together, say of N image files.

    Args:
        paths: the files that were read.
        class_names: K names.
        probabilities: [N, K].
        unreadable: files that are no images, each with the reason.
        embeddings: what goes into the last layer of the first classifier [N, D]; None unless asked for.
    """

    paths: list[Path]
    class_names: list[str]
    probabilities: Tensor
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    embeddings: Tensor | None = None

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.class_names[k] for k in self.probabilities.argmax(1).tolist()]

    def top(self, number: int) -> list[list[tuple[str, float]]]:
        """Of each image the most probable classes with their probabilities."""
        best = self.probabilities.topk(min(number, len(self.class_names)), dim=1)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [[(self.class_names[k], p) for k, p in zip(labels, values, strict=True)] for labels, values in pairs]


def find_images(words: Sequence[str]) -> list[Path]:
    """The files that the words name: files, folders with image files at any depth, patterns, or `-` for standard input.

    Raises:
        UserError: a word names nothing, or a folder has no image.
    """
    found: list[Path] = []
    for word in words:
        path = Path(word).expanduser()
        if word == STANDARD_INPUT:
            found += [Path(line) for line in sys.stdin.read().splitlines() if line.strip()]
        elif path.is_dir():
            inside = image_files(path)
            if not inside:
                raise UserError(f"{word}: no image files in this folder; name another")
            found += inside
        elif path.exists():
            found.append(path)
        elif glob.has_magic(word):
            named = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207, for patterns may be absolute
            matching = [Path(name) for name in named if Path(name).is_file()]
            if not matching:
                raise UserError(f"{word}: no file is of this pattern")
            found += matching
        else:
            raise UserError(f"{word}: no such file or folder")
    return found


def predict_files(
    members: Sequence[Classifier],
    paths: Sequence[Path],
    averaging: Averaging = "probabilities",
    embed: bool = False,
    told: Callable[[int], Any] = lambda number: None,
) -> Predictions:
    """Classify image files; several classifiers are averaged.

    Files are decoded by threads, a batch ahead of the networks.

    Args:
        embed: give what goes into the last layer of the first classifier too.
        told: is told how many more files are done.
    """
    kinds: dict[Any, list[int]] = {}
    for place, member in enumerate(members):
        kinds.setdefault(member.reads_alike, []).append(place)
    probabilities: dict[int, list[Tensor]] = {place: [] for place in range(len(members))}
    unreadable: dict[int, str] = {}
    features = _Features(members[0].network) if embed else None
    for alike in kinds.values():
        first = members[alike[0]]
        for batch in _read(first, paths, first.cfg.data.eval_batch_size):
            unreadable |= batch.unreadable
            for place in alike if len(batch.pixels) else ():
                with features if features and place == 0 else nullcontext():
                    probabilities[place].append(members[place].probabilities(batch.pixels).cpu())
            if alike[0] == 0:
                told(len(batch.pixels) + len(batch.unreadable))
    K = len(members[0].class_names)
    read = [torch.cat(parts) if parts else torch.zeros(0, K) for parts in probabilities.values()]
    return Predictions(
        [path for index, path in enumerate(paths) if index not in unreadable],
        members[0].class_names,
        combine(torch.stack(read), averaging),
        [(paths[index], reason) for index, reason in sorted(unreadable.items())],
        None if features is None else features.all,
    )


def predict_tensor(members: Sequence[Classifier], images: Tensor, averaging: Averaging = "probabilities") -> Tensor:
    """Class probabilities [B, K] of images [B, C, S, S], floats in [0, 1] or uint8.

    Raises:
        UserError: they are not of the networks' shape.
    """
    shape = members[0].described.image_shape
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(shape):
        raise UserError(f"images: must be [B, {', '.join(map(str, shape))}], not {list(images.shape)}")
    pixels = images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).round().to(torch.uint8)
    parts = [
        torch.stack([member.probabilities(chunk).cpu() for member in members])
        for chunk in pixels.split(members[0].cfg.data.eval_batch_size)
    ]
    return combine(torch.cat(parts, dim=1), averaging)


def predict_with(
    folders: Sequence[RunFolder],
    images: str | Path | Sequence[str | Path] | Tensor,
    overrides: Sequence[str] = (),
    weights: str = BEST,
    trust: bool = False,
) -> Predictions:
    """What the runs together say of image files, folders or patterns, or of a tensor; see `runner.predict`.

    Raises:
        UserError: as `find_images`, `predict_tensor` and `Classifier.load`.
    """
    members = [Classifier.load(folder, overrides, weights, trust) for folder in folders]
    check_same_classes(members)
    if isinstance(images, Tensor):
        return Predictions([], members[0].class_names, predict_tensor(members, images))
    named = [images] if isinstance(images, str | Path) else images
    return predict_files(members, find_images([str(path) for path in named]))


class _Features:
    """Keeps what goes into the last linear layer of a network while it is active."""

    def __init__(self, network: nn.Module) -> None:
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise UserError("--embeddings: this network has no fully connected layer at its end")
        self.layer = linear[-1]
        self.parts: list[Tensor] = []

    def __enter__(self) -> None:
        self.inputs: list[Tensor] = []
        self.hook = self.layer.register_forward_pre_hook(lambda _, given: self.inputs.append(given[0]))

    def __exit__(self, *error: object) -> None:
        self.hook.remove()
        if self.inputs:  # of each of the copies that the test-time augmentation makes
            self.parts.append(torch.stack([one.flatten(1).float() for one in self.inputs]).mean(0).cpu())

    @property
    def all(self) -> Tensor:
        return torch.cat(self.parts) if self.parts else torch.zeros(0, self.layer.in_features)


@dataclass(frozen=True)
class _Batch:
    """Pixels of the files that could be read, and of the others the reason by their place."""

    pixels: Tensor
    unreadable: dict[int, str]


def _read(member: Classifier, paths: Sequence[Path], batch_size: int) -> Iterator[_Batch]:
    files = member.described.files(paths, member.view)

    def read(index: int) -> Tensor | str:
        try:
            return files.read([index])[0]
        except UnreadableImage as error:
            return error.reason

    def collect(indices: range, results: Iterator[Tensor | str]) -> _Batch:
        found = list(zip(indices, results, strict=True))
        pixels = [result for _, result in found if isinstance(result, Tensor)]
        unreadable = {index: result for index, result in found if isinstance(result, str)}
        return _Batch(torch.stack(pixels) if pixels else torch.zeros(0), unreadable)

    chunks = [range(start, min(start + batch_size, len(paths))) for start in range(0, len(paths), batch_size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead = [(chunk, pool.map(read, chunk)) for chunk in chunks[:1]]
        for following in [*chunks[1:], None]:
            chunk, results = ahead.pop()
            if following is not None:
                ahead.append((following, pool.map(read, following)))
            yield collect(chunk, results)
