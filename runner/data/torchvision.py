"""Any classification data set of torchvision's whose files are there."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from runner.data.dataset import Split
from runner.data.own_images import Listing, OwnImages
from runner.errors import UserError, did_you_mean
from runner.stages import stage

# What the data sets call their splits, the most usual word first.
WORDS: Mapping[Split, tuple[str, ...]] = {
    "train": ("train", "trainval", "train-standard", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
LABELS = ("targets", "labels", "_labels", "y")  # attributes
SAMPLES = ("samples", "_samples", "imgs")  # of pairs of a path and a label
NAMES = ("classes", "categories")


@dataclass(frozen=True)
class Entry:
    """One image of a data set of torchvision's."""

    name: str
    dataset: Any = field(repr=False, compare=False)
    index: int

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"

    def open(self) -> AbstractContextManager[Any]:
        return nullcontext(self.dataset[self.index][0])

    def content(self) -> bytes:
        return np.asarray(self.dataset[self.index][0]).tobytes()


@dataclass(kw_only=True)
class Torchvision(OwnImages):
    """A data set of `torchvision.datasets` by its class name. Splits that it does not have are cut from train."""

    name: str
    root: str = "data"
    options: Mapping[str, Any] | None = None  # more arguments of its constructor
    in_channels: Literal[1, 3] | None = None  # null: as many as its first image has
    named_by: ClassVar[str] = "data.name"

    @cached_property
    def stored_classes(self) -> list[str]:
        train = self._required
        names = next((getattr(train, name) for name in NAMES if hasattr(train, name)), None)
        if names is None and hasattr(train, "class_to_idx"):
            names = sorted(train.class_to_idx, key=train.class_to_idx.get)
        if names is None:
            return [str(label) for label in range(max(self._labels["train"]) + 1)]
        return [name if isinstance(name, str) else " ".join(map(str, name)) for name in names]

    @property
    def is_cut(self) -> bool:
        return self._stored("val") is None and self._stored("test") is None

    @property
    def place(self) -> str:
        return self.name

    @property
    def channels(self) -> int:
        return self.in_channels or self._first_channels

    @cached_property
    def _first_channels(self) -> int:
        return 1 if self._required[0][0].mode in ("1", "L") else 3

    def list_images(self, split: Split) -> Listing | None:
        dataset = self._stored(split)
        if dataset is None:
            return None
        return Listing([Entry(self.name, dataset, index) for index in range(len(dataset))], self._labels[split])

    @property
    def _required(self) -> Any:
        train = self._stored("train")
        assert train is not None
        return train

    @cached_property
    def _labels(self) -> "_Labels":
        return _Labels(self)

    def _stored(self, split: Split) -> Any:
        if split not in self._opened:
            self._opened[split] = self._open(split)
        return self._opened[split]

    @cached_property
    def _opened(self) -> dict[str, Any]:
        return {}

    def _open(self, split: Split) -> Any:
        """The data set's own split, or None where it has none of that kind.

        Raises:
            UserError: there is no such data set, its files are not there, or it is of another kind.
        """
        kind = self._kind
        parameters = _parameters(kind)
        given = dict(self.options or {})
        unknown = given.keys() - parameters
        if unknown:
            wrong = min(unknown)
            raise UserError(f"data.options: {self.name} has no argument {wrong!r}{did_you_mean(wrong, parameters)}")
        chosen: Sequence[dict[str, Any]]
        if "train" in parameters:
            chosen = [] if split == "val" else [{"train": split == "train"}]
        elif "image_set" in parameters or "split" in parameters:
            key = "split" if "split" in parameters else "image_set"
            chosen = [{key: word} for word in WORDS[split]]
        else:
            chosen = [{}] if split == "train" else []
        if "download" in parameters:
            given["download"] = False
        for words in chosen:
            try:
                return self._checked(kind(Path(self.root).expanduser(), **{**given, **words}))
            except ValueError:  # a split of that name is none of its own
                continue
            except TypeError as error:
                raise UserError(
                    f"data.options: {self.name} needs other arguments ({error}); give them here, or choose another "
                    "data set"
                ) from None
            except (OSError, RuntimeError, ImportError) as error:
                if split != "train":
                    return None
                reason = " ".join(str(error).split()).split(". You can use download")[0]
                raise UserError(
                    f"data.root: {self.name} cannot be read from {self.root} ({reason}); put its files there, or have "
                    f"torchvision do it: torchvision.datasets.{self.name}({self.root!r}, download=True)"
                ) from None
        if split == "train":
            raise UserError(f"data.name: {self.name} has no training split that is known; choose another data set")
        return None

    @cached_property
    def _kind(self) -> Callable[..., Any]:
        import torchvision.datasets

        known = [name for name in torchvision.datasets.__all__ if isinstance(getattr(torchvision.datasets, name), type)]
        if self.name not in known:
            near = next((name for name in known if name.lower() == self.name.replace("_", "").lower()), None)
            hint = f"; did you mean {near!r}?" if near else did_you_mean(self.name, known)
            raise UserError(f"data.name: torchvision has no data set {self.name!r}{hint}")
        kind: Callable[..., Any] = getattr(torchvision.datasets, self.name)
        return kind

    def _checked(self, dataset: Any) -> Any:
        """The data set, if it is of images with a class each."""
        from PIL import Image

        first = dataset[0]
        if not (isinstance(first, tuple) and len(first) == 2 and isinstance(first[0], Image.Image)):
            raise UserError(f"data.name: {self.name} is no data set of images with a class each")
        if not isinstance(first[1], int | np.integer) and not (torch.is_tensor(first[1]) and first[1].ndim == 0):
            raise UserError(f"data.name: {self.name} does not have a class for each image; choose another data set")
        return dataset


def _parameters(kind: Any) -> set[str]:
    """The arguments of a class, with those that it hands on to the classes above it."""
    found: set[str] = set()
    for one in kind.__mro__:
        own = inspect.signature(one.__init__).parameters if "__init__" in one.__dict__ else {}
        found |= {name for name, parameter in own.items() if parameter.kind is not parameter.VAR_KEYWORD}
        if own and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return found - {"self"}


class _Labels:
    """The labels of each split: an attribute of the data set, or else those of its images one by one."""

    def __init__(self, owner: Torchvision) -> None:
        self.owner = owner
        self.found: dict[str, list[int]] = {}

    def __getitem__(self, split: Split) -> list[int]:
        if split not in self.found:
            self.found[split] = _labels_of(self.owner._stored(split))
        return self.found[split]


def _labels_of(dataset: Any) -> list[int]:
    for name in LABELS:
        labels = getattr(dataset, name, None)
        if isinstance(labels, list | tuple | np.ndarray | torch.Tensor) and len(labels) == len(dataset):
            found = [int(label) for label in labels] if _are_numbers(labels) else None
            if found and found[0] == int(dataset[0][1]):
                return found
    for name in SAMPLES:
        samples = getattr(dataset, name, None)
        if isinstance(samples, list) and len(samples) == len(dataset) and _are_numbers([pair[1] for pair in samples]):
            return [int(label) for _, label in samples]
    with stage(f"reading the labels of {len(dataset):,} images"):
        return [int(dataset[index][1]) for index in range(len(dataset))]


def _are_numbers(labels: Any) -> bool:
    return all(isinstance(label, int | np.integer | torch.Tensor) for label in labels)
