"""The base of every data set: three splits, read when they are needed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from runner.constraints import NonNegativeInt, OpenFraction
from runner.data.fingerprint import Fingerprint, fingerprint
from runner.data.loader import LoaderSettings
from runner.data.source import Files, Images, Source, load
from runner.errors import UserError
from runner.machine import free_memory
from runner.pictures import View
from runner.seeds import generator

Split = Literal["train", "val", "test"]


@dataclass(kw_only=True)
class Data(LoaderSettings):
    """Images in three splits. `val` is cut from train by `split_seed`, the same fraction of every class.

    Subclasses give the classes and the image shape, and read `train` and `test`.
    """

    val_fraction: OpenFraction = 0.1
    split_seed: NonNegativeInt = 0
    _sources: dict[str, Source] = field(default_factory=dict, init=False, repr=False)
    _seen: dict[tuple[str, View], Source] = field(default_factory=dict, init=False, repr=False)
    _in_memory: dict[tuple[str, View | None], Images] = field(default_factory=dict, init=False, repr=False)
    _stays: dict[tuple[str, View | None], bool] = field(default_factory=dict, init=False, repr=False)

    def with_images_of(self, other: Data) -> Data:
        """This data set with what the other one has read already, where both have the same images; else itself."""
        if self.identity != other.identity:
            return self
        shared = copy.copy(other)
        for setting in fields(LoaderSettings):
            setattr(shared, setting.name, getattr(self, setting.name))
        shared._stays = {}
        return shared

    @property
    def identity(self) -> dict[str, Any]:
        """What decides which images it has: its class and keys."""
        loading = {setting.name for setting in fields(LoaderSettings)}
        keys = {key.name: getattr(self, key.name) for key in fields(self) if key.init and key.name not in loading}
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", **keys}

    @property
    def class_names(self) -> list[str]:
        raise NotImplementedError

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        raise NotImplementedError

    def read(self, split: Split) -> Source | None:
        """The images of a split as they are stored; None for a `val` that has to be cut from train."""
        raise NotImplementedError

    @property
    def has_larger(self) -> bool:
        """Whether images can be kept larger than `image_shape` says, to cut from them."""
        return False

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What tells the images that it trains and validates on from others."""
        return fingerprint(self.class_names, [self.source("train"), self.source("val")])

    def source(self, split: Split, view: View | None = None) -> Source:
        """The images of a split; larger ones by a view, where there are larger ones."""
        if view is not None:
            if (split, view) not in self._seen:
                files = self.source(split)
                self._seen[split, view] = files.seen(view) if isinstance(files, Files) else files
            return self._seen[split, view]
        if split not in self._sources:
            if split == "test":
                self._sources["test"] = self._required("test")
            else:
                self._read_train_and_val()
        return self._sources[split]

    @property
    def num_test_images(self) -> int | None:
        """Images in the test split, which is looked at before the training; None where there is none."""
        return len(self.source("test"))

    def stays(self, split: Split, device: torch.device, view: View | None = None) -> bool:
        """Whether the pixels of a split stay on that device: by `loading`, or because they fit. Decided once.

        Raises:
            UserError: they were to stay, and there is no room.
        """
        if (split, view) not in self._stays:
            self._stays[split, view] = self.loading != "workers" and self._has_room(split, device, view)
        return self._stays[split, view]

    def loaded(self, split: Split, device: torch.device, view: View | None = None) -> Source:
        """The images of a split, in memory if they are to stay on that device."""
        source = self.source(split, view)
        if not self.stays(split, device, view):
            return source
        if (split, view) not in self._in_memory:
            self._in_memory[split, view] = load(source)
        return self._in_memory[split, view]

    def _has_room(self, split: Split, device: torch.device, view: View | None) -> bool:
        source = self.source(split, view)
        in_memory = isinstance(source, Images)
        if in_memory and device.type == "cpu":
            return True
        C, H, W = source.image_shape
        size = len(source) * C * H * W
        places = {device} if in_memory else {device, torch.device("cpu")}  # where files are decoded
        free = min(free_memory(place) for place in places)
        if self.loading == "auto":  # half of it: a split that is cut from another is copied, and a training needs some
            return size <= self.in_memory_limit_mib * 2**20 and 2 * size <= free
        if size > free:
            raise UserError(
                f"data.loading: the images to keep of '{split}' take {size / 2**30:.1f} GiB, and "
                f"{free / 2**30:.1f} GiB are free; use auto or workers, or a smaller data.image_size"
            )
        return True

    def _read_train_and_val(self) -> None:
        train, val = self._required("train"), self.read("val")
        if val is None:
            val_indices = stratified(train.labels, self.val_fraction, self.split_seed)
            rest = torch.ones(len(train), dtype=torch.bool)
            rest[val_indices] = False
            train, val = train.subset(rest.nonzero().flatten()), train.subset(val_indices)
        if not len(train) or not len(val):
            raise UserError(f"data.val_fraction: {self.val_fraction} leaves no image for training or for validation")
        self._sources.update(train=train, val=val)

    def _required(self, split: Split) -> Source:
        source = self.read(split)
        assert source is not None
        return source


def stratified(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Sorted indices of a share of every class, rounded; at least one of a class that has two or more."""
    chosen = []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        count = round(len(members) * fraction)
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        shuffled = members[torch.randperm(len(members), generator=generator(seed, "split", int(label)))]
        chosen.append(shuffled[:count])
    return torch.cat(chosen).sort().values
