"""Your own images: packed numpy arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from runner.data.dataset import Split
from runner.data.own_images import SPLITS, Listing, OwnImages
from runner.data.source import Images, Source
from runner.data.table import SPLIT_WORDS, sorted_classes
from runner.errors import UserError

IMAGES, LABELS = ("images", "x"), ("labels", "y")


@dataclass(frozen=True)
class Entry:
    """One image of an array [N, H, W, C] or [N, H, W]."""

    name: str
    array: np.ndarray = field(repr=False, compare=False)
    index: int

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"

    def open(self) -> AbstractContextManager[Any]:
        from PIL import Image

        return nullcontext(Image.fromarray(self.array[self.index]))

    def content(self) -> bytes:
        return self.array[self.index].tobytes()


@dataclass
class Part:
    """The arrays of one split, or of all images; images are [N, H, W, 3] or [N, H, W]."""

    name: str
    images: np.ndarray
    labels: list[str]
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def of(self, split: str, chosen: np.ndarray) -> Part:
        """Some of its images."""
        labels = [label for label, own in zip(self.labels, chosen.tolist(), strict=True) if own]
        groups, weights = (None if one is None else one[chosen] for one in (self.groups, self.weights))
        return Part(f"{self.name} ({split})", self.images[chosen], labels, groups, weights)


@dataclass(kw_only=True)
class Arrays(OwnImages):
    """An `.npz` file with `images` [N, H, W] or [N, H, W, C] or [N, C, H, W] in uint8, and `labels` [N].

    `x` and `y` are the same. Splits are told by an array `split` [N], or by names such as `train_images` or `x_test`;
    else val and test are cut. `group`, `weight` [N] and `class_names` [K] may be there.
    """

    file: str
    in_channels: Literal[1, 3] | None = None  # null: as many as the arrays have
    named_by: ClassVar[str] = "data.file"

    @cached_property
    def stored_classes(self) -> list[str]:
        names = self._class_names or sorted_classes({label for part in self._parts.values() for label in part.labels})
        if len(names) < 2:
            raise UserError(f"data.file: {self.file} has a single class ({names[0]}); two or more are needed")
        return names

    @property
    def is_cut(self) -> bool:
        return list(self._parts) == ["train"]

    @property
    def place(self) -> str:
        return self.file

    @property
    def channels(self) -> int:
        images = self._parts["train"].images
        return self.in_channels or (3 if images.ndim == 4 else 1)

    def list_images(self, split: Split) -> Listing | None:
        part = self._parts.get(split)
        if part is None:
            return None
        numbers = {name: label for label, name in enumerate(self.stored_classes)}
        items = [Entry(part.name, part.images, index) for index in range(len(part.images))]
        groups = None if part.groups is None else np.unique(part.groups, return_inverse=True)[1].tolist()
        weights = None if part.weights is None else part.weights.tolist()
        return Listing(items, [numbers[label] for label in part.labels], groups, weights)

    def read(self, split: Split) -> Source | None:
        """Pixels as they are where they have the size that is asked for; else each is brought to it when it is read."""
        listed = super().read(split)
        part = self._parts.get(split)
        if listed is None or part is None:
            return None
        images = part.images[..., None] if part.images.ndim == 3 else part.images
        if images.shape[1:] != (*self.image_shape[1:], self.channels):
            return listed
        if split not in self._whole:
            pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
            self._whole[split] = Images(pixels, listed.labels, listed.groups, listed.weights)
        return self._whole[split]

    @property
    def has_larger(self) -> bool:
        return self.image_size is not None and self._parts["train"].images.shape[1:3] != self.image_shape[1:]

    @cached_property
    def _whole(self) -> dict[str, Images]:
        return {}

    @property
    def _class_names(self) -> list[str] | None:
        names = self._arrays.get("class_names")
        return None if names is None else [str(name) for name in names.tolist()]

    @cached_property
    def _arrays(self) -> Mapping[str, np.ndarray]:
        path = Path(self.file).expanduser()
        if not path.is_file():
            raise UserError(f"data.file: no file {self.file}; set data.file to your .npz file")
        try:
            stored = np.load(path)  # no pickles
            if isinstance(stored, np.ndarray):
                raise ValueError("it holds a single array; expected images and labels, as numpy.savez writes them")
            with stored:
                return dict(stored)
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            reason = " ".join(str(error).split())
            reason = "it is none, or holds Python objects" if "pickle" in reason else reason
            raise UserError(f"data.file: {self.file} cannot be read as an .npz file ({reason})") from None

    @cached_property
    def _parts(self) -> dict[str, Part]:
        """The arrays of each split that is stored."""
        whole = self._pair(IMAGES, LABELS)
        if whole is not None:
            return self._by_split(*whole)
        parts = {}
        for word, split in SPLIT_WORDS.items():
            names = [
                tuple(f"{first}_{second}" for one in kind for first, second in ((word, one), (one, word)))
                for kind in (IMAGES, LABELS)
            ]
            pair = self._pair(*names)
            if pair is not None and split not in parts:
                parts[split] = self._part(*pair)
        if "train" not in parts:
            raise UserError(
                f"data.file: {self.file} has no arrays 'images' and 'labels', nor 'train_images' and 'train_labels'; "
                f"it has {', '.join(self._arrays) or 'none'}"
            )
        return {split: parts[split] for split in SPLITS if split in parts}

    def _by_split(self, name: str, labels_name: str) -> dict[str, Part]:
        part = self._part(name, labels_name)
        for key, column in (("group", "groups"), ("weight", "weights")):
            if key in self._arrays:
                self._check_length(key, part)
                setattr(part, column, self._arrays[key])
        words = self._arrays.get("split")
        if words is None:
            return {"train": part}
        self._check_length("split", part)
        splits = [SPLIT_WORDS.get(str(word).lower()) for word in words.tolist()]
        if None in splits:
            first = splits.index(None)
            raise UserError(
                f"data.file: {splits.count(None):,} entries of 'split' in {self.file} are of no split (train, val, "
                f"test), first {str(words[first])!r}"
            )
        chosen = {split: np.array([one == split for one in splits]) for split in SPLITS}
        if not chosen["train"].any():
            raise UserError(f"data.file: no entry of 'split' in {self.file} is 'train'; mark some")
        return {split: part.of(split, own) for split, own in chosen.items() if own.any()}

    def _pair(self, images: Sequence[str], labels: Sequence[str]) -> tuple[str, str] | None:
        found = [next((name for name in names if name in self._arrays), None) for names in (images, labels)]
        if found[0] is None or found[1] is None:
            return None
        return found[0], found[1]

    def _part(self, name: str, labels_name: str) -> Part:
        images, labels = self._arrays[name], self._arrays[labels_name]
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if images.dtype != np.uint8:
            raise UserError(
                f"data.file: {name!r} of {self.file} is of {images.dtype}, and pixels must be uint8; save them as 0 to "
                "255, as in (255 * images).round().astype('uint8')"
            )
        if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
            images = images.transpose(0, 2, 3, 1)
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
            raise UserError(
                f"data.file: {name!r} of {self.file} has the shape {images.shape}; expected [N, H, W], [N, H, W, C] or "
                "[N, C, H, W] with 1 or 3 channels"
            )
        if labels.shape != (len(images),):
            raise UserError(
                f"data.file: {labels_name!r} of {self.file} has the shape {labels.shape}, and {name!r} has "
                f"{len(images):,} images; expected a label for each"
            )
        if not len(images):
            raise UserError(f"data.file: {name!r} of {self.file} holds no images")
        gray = images.ndim == 4 and images.shape[3] == 1
        return Part(name, images[..., 0] if gray else images, self._names(labels_name, labels))

    def _names(self, labels_name: str, labels: np.ndarray) -> list[str]:
        """The class of each image."""
        if np.issubdtype(labels.dtype, np.floating):
            raise UserError(f"data.file: {labels_name!r} of {self.file} is of {labels.dtype}; save labels as integers")
        if self._class_names is None or not np.issubdtype(labels.dtype, np.integer):
            return [str(label) for label in labels.tolist()]
        names = self._class_names
        outside = labels[(labels < 0) | (labels >= len(names))]
        if len(outside):
            raise UserError(
                f"data.file: {len(outside):,} of {labels_name!r} in {self.file} are beyond its {len(names)} "
                f"class_names, first {outside[0]}; labels count from 0"
            )
        return [names[label] for label in labels.tolist()]

    def _check_length(self, name: str, part: Part) -> None:
        if self._arrays[name].shape != (len(part.labels),):
            raise UserError(
                f"data.file: {name!r} of {self.file} has the shape {self._arrays[name].shape}; expected a value for "
                f"each of {len(part.labels):,} images"
            )
