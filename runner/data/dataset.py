"""The base of every data set: three splits, read when they are needed.

Whatever the images are read from, a split is a `Source`, and takes one way from there: classes are chosen, val (and
test, where there is none) is cut from train, train is limited.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import torch

from runner.constraints import AtLeastTwo, NonNegativeInt, OpenFraction, PositiveFraction, PositiveInt
from runner.data.classes import ClassChoice, choose
from runner.data.cut import fold_numbers, share_of_class, stratified
from runner.data.fingerprint import Fingerprint, fingerprint
from runner.data.loader import LoaderSettings
from runner.data.source import Files, Images, Source, load
from runner.errors import UserError
from runner.machine import free_memory
from runner.pictures import View

Split = Literal["train", "val", "test"]
IMBALANCE = 10  # times as many images in the largest class as in the smallest, from which on it is told


@dataclass(kw_only=True)
class Data(LoaderSettings):
    """Images in three splits. `val` is cut from train by `split_seed`, the same fraction of every class.

    Subclasses give the stored classes and the image shape, and read `train` and `test`. With `folds` the training
    images are cut into so many parts, of which `fold` is val. `classes` and `merge` choose classes; `fraction` and
    `images_per_class` limit the training images, by `split_seed`, while val and test stay whole.
    """

    val_fraction: OpenFraction = 0.1
    split_seed: NonNegativeInt = 0
    folds: AtLeastTwo | None = None
    fold: NonNegativeInt = 0
    classes: Sequence[str | int] | None = None
    merge: Mapping[str, str | int] | None = None
    fraction: PositiveFraction = 1.0
    images_per_class: PositiveInt | None = None
    _sources: dict[str, Source] = field(default_factory=dict, init=False, repr=False)
    _seen: dict[tuple[str, View], Source] = field(default_factory=dict, init=False, repr=False)
    _loaded: dict[tuple[str, View | None], Source] = field(default_factory=dict, init=False, repr=False)
    _num_before: int = field(default=0, init=False, repr=False)  # training images before they are limited
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

    def __post_init__(self) -> None:
        if self.fold and self.folds is None:
            raise UserError(f"data.fold: {self.fold} is a fold of data.folds, which is null; set it, say to 5")
        if self.folds is not None and self.fold >= self.folds:
            raise UserError(
                f"data.fold: there is no fold {self.fold} of {self.folds}; the last one is {self.folds - 1}"
            )

    @property
    def stored_classes(self) -> list[str]:
        """The classes of the images as they are read, in the order of their labels."""
        raise NotImplementedError

    @property
    def class_names(self) -> list[str]:
        """The classes that are trained: those stored, or chosen and merged from them."""
        return list(self.stored_classes) if self._choice is None else self._choice.names

    @cached_property
    def _choice(self) -> ClassChoice | None:
        if not self.classes and not self.merge:
            return None
        if type(self).class_names is not Data.class_names:
            raise UserError(
                f"data.classes: {type(self).__name__} gives class_names; name them stored_classes, so that some can "
                "be chosen"
            )
        return choose(self.stored_classes, self.classes, self.merge)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        raise NotImplementedError

    def read(self, split: Split) -> Source | None:
        """The images of a split as they are stored; None for one that has to be cut from train, or is not there."""
        raise NotImplementedError

    @property
    def test_share(self) -> float:
        """The share of the training images that becomes the test split, where none is stored."""
        return 0.0

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
            if split != "test":
                self._read_train_and_val()
            elif (stored := self._read("test")) is not None:
                self._sources["test"] = stored
            elif self.test_share:
                self._read_train_and_val()
            else:
                raise UserError(self.no_test)
        return self._sources[split]

    @property
    def no_test(self) -> str:
        """What is said to who wants a test split where there is none."""
        return "data: this data set has no test split"

    @property
    def num_test_images(self) -> int | None:
        """Images in the test split, which is looked at before the training; None where there is none."""
        return len(self.source("test"))

    @property
    def left_out(self) -> str:
        """A line for each image that cannot be read and is left out."""
        return ""

    def about(self) -> Iterator[tuple[str, str]]:
        """What is said of the data before a training, beside its size: what, and a line about it."""
        if self.folds:
            yield "folds", f"val is fold {self.fold} of {self.folds}; test is not part of them"
        train = self.source("train")
        if self._is_limited:
            keys = [f"data.fraction={self.fraction:g}"] * (self.fraction < 1)
            keys += [f"data.images_per_class={self.images_per_class}"] * (self.images_per_class is not None)
            yield "limit", f"train has {len(train):,} of {self._num_before:,} images ({', '.join(keys)})"
        if self.progressive_sizes:
            sides = ", ".join(map(str, self.progressive_sizes))
            yield "sizes", f"training images of {sides} pixels in equal parts of the epochs; validation has the last"
        yield from self._about_balance(train)

    def _about_balance(self, train: Source) -> Iterator[tuple[str, str]]:
        if self.balance != "none" or getattr(train, "weights", None) is not None:
            drawn = {"oversample": "each class equally often: images of smaller classes come again in an epoch"}
            by = "by their weights" if getattr(train, "weights", None) is not None else "each class alike"
            yield "balance", drawn.get(self.balance, f"training images are drawn with replacement, {by}")
            return
        counts = torch.bincount(train.labels, minlength=len(self.class_names)).tolist()
        large, small = (pick(range(len(counts)), key=counts.__getitem__) for pick in (max, min))
        if counts[large] >= IMBALANCE * counts[small]:
            names = self.class_names
            yield (
                "classes",
                f"{names[large]} has {counts[large]:,} training images, {names[small]} {counts[small]:,}; "
                "data.balance=oversample or loss.class_weights=balanced makes up for it",
            )

    def stays(self, split: Split, device: torch.device, view: View | None = None) -> bool:
        """Whether the pixels of a split stay on that device: by `loading`, or because they fit. Decided once.

        Raises:
            UserError: they were to stay, and there is no room.
        """
        if (split, view) not in self._stays:
            self._stays[split, view] = self.loading != "workers" and self._has_room(split, device, view)
        return self._stays[split, view]

    def loaded(self, split: Split, device: torch.device, view: View | None = None) -> Source:
        """The images of a split: in memory if they are to stay on that device, else where readers are quick."""
        if (split, view) not in self._loaded:
            source = self.source(split, view)
            if self.stays(split, device, view):
                source = load(source)
            elif isinstance(source, Files):
                source = source.on_disk()
            self._loaded[split, view] = source
        return self._loaded[split, view]

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

    @property
    def _is_limited(self) -> bool:
        return self.fraction < 1 or self.images_per_class is not None

    def _read_train_and_val(self) -> None:
        train, val = self._read("train"), self._read("val")
        assert train is not None
        if self.test_share and self._read("test") is None:
            test_indices = stratified(train.labels, self.test_share, 0, _groups(train))  # whatever the split seed
            self._sources["test"], train = train.subset(test_indices), _without(train, test_indices)
        if self.folds:
            train, val = self._folded(train, val)
        elif val is None:
            val_indices = stratified(train.labels, self.val_fraction, self.split_seed, _groups(train))
            train, val = _without(train, val_indices), train.subset(val_indices)
        if not len(train) or not len(val):
            raise UserError(f"data.val_fraction: {self.val_fraction} leaves no image for training or for validation")
        self._num_before = len(train)
        if self._is_limited:
            limits = self.fraction, self.images_per_class
            train = _alone(train.subset(share_of_class(train.labels, *limits, self.split_seed)))
            val = _alone(val)
            if "test" in self._sources:
                self._sources["test"] = _alone(self._sources["test"])
        self._sources.update(train=train, val=val)

    def _folded(self, train: Source, val: Source | None) -> tuple[Source, Source]:
        assert self.folds
        if val is not None:
            raise UserError("data.folds: this data set has a validation split of its own; set data.folds=null")
        if len(train) < self.folds:
            raise UserError(f"data.folds: {len(train)} images cannot be cut into {self.folds} folds; lower it")
        fold_of_image = fold_numbers(train.labels, self.folds, self.split_seed, _groups(train))
        chosen = (fold_of_image == self.fold).nonzero().flatten()
        return _without(train, chosen), train.subset(chosen)

    def _read(self, split: Split) -> Source | None:
        """The images of a split that are of the chosen classes."""
        source = self.read(split)
        return source if source is None or self._choice is None else self._choice.of(source)


def _groups(source: Source) -> Any:
    """Those of a source that knows groups; a user's own need not."""
    return getattr(source, "groups", None)


def _without(source: Source, indices: torch.Tensor) -> Source:
    rest = torch.ones(len(source), dtype=torch.bool)
    rest[indices] = False
    return source.subset(rest.nonzero().flatten())


def _alone(source: Source) -> Source:
    """The same, decoded without the files that it was chosen from, most of which are not wanted."""
    return source.alone() if isinstance(source, Files) else source
