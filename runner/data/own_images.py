"""The base of the user's own images, however they are described: files, rows of a table, arrays."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from runner.constraints import Fraction, FractionBelowOne, PositiveInt
from runner.data import decoded_cache as decoded
from runner.data.dataset import Data, Split
from runner.data.decoding import Item, Resize, UnreadableImage, left_out, size_of
from runner.data.source import Files, Source
from runner.data.unreadable import OnUnreadable, Unreadable, UnreadableImages, listed, refuse, refuse_many
from runner.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_SHARE = 0.1  # of images that come without any split
SAMPLE = 1000  # images whose sizes are compared, spread evenly
SAMPLE_OF_SHAPES = 200  # images whose median shape is told
UNKNOWN_SIZE = 32  # to which images are decoded only to see whether they can be
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass
class Listing:
    """The images of a split as a reader finds them: each with its label, and maybe its group and weight."""

    items: Sequence[Item]
    labels: list[int]
    groups: list[int] | None = None
    weights: list[float] | None = None

    def __len__(self) -> int:
        return len(self.items)


@dataclass(kw_only=True)
class OwnImages(Data):
    """Images that a reader lists by split; whatever is not listed is cut from `train`.

    Subclasses give `stored_classes`, `list_images` and `is_cut`, and say by `named_by` which key names the images.
    """

    test_fraction: FractionBelowOne | None = None
    resize: Resize = "crop"
    unreadable: OnUnreadable = "error"
    unreadable_limit: Fraction = 0.01
    image_size: PositiveInt | None = None  # null until the images are looked at
    named_by: ClassVar[str] = "data.root"

    def list_images(self, split: Split) -> Listing | None:
        """The images of a split; None where the split is not stored."""
        raise NotImplementedError

    @property
    def is_cut(self) -> bool:
        """Whether the images come without any split, so that val and test are cut from them."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """What the messages call the images."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Of the images as the network takes them."""
        raise NotImplementedError

    @property
    def cache_folder(self) -> Path | None:
        """Where decoded images are kept."""
        return None

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        size = self.image_size or self._common_size()
        return self.channels, size, size

    @property
    def has_larger(self) -> bool:
        return self.image_size is not None

    @property
    def test_share(self) -> float:
        if self.test_fraction is None:
            return TEST_SHARE if self.is_cut else 0.0
        return self.test_fraction

    @property
    def no_test(self) -> str:
        return f"{self.named_by}: {self.place} has no test split; data.test_fraction=0.1 cuts one from train"

    @property
    def num_test_images(self) -> int | None:
        """Images in the test split; None where there is none. All images of all splits are tried."""
        self._try_all()
        return len(self.source("test")) if self._has_test else None

    @property
    def _has_test(self) -> bool:
        return self._listed("test") is not None or self.test_share > 0

    def read(self, split: Split) -> Source | None:
        if split not in self._read_splits:
            listing = self._listed(split)
            self._read_splits[split] = None if listing is None else self._source_of(listing)
        return self._read_splits[split]

    def loaded(self, split: Split, device: torch.device, view: Any = None) -> Source:
        source = super().loaded(split, device, view)
        if isinstance(source, Files):  # else all have been decoded
            self._try(self.source(split))
        return source

    @property
    def left_out(self) -> str:
        return listed(self._skipped)

    def about(self) -> Iterator[tuple[str, str]]:
        yield from self._about_splits()
        if self._skipped:
            count = sum(len(source) for source in self._read_splits.values() if source is not None)
            total = count + len(self._skipped)
            yield (
                "left out",
                f"{len(self._skipped):,} of {total:,} images that cannot be read; unreadable.txt lists them",
            )
        if self.image_size is not None:
            yield from self._about_resize()
        yield from super().about()

    def _about_splits(self) -> Iterator[tuple[str, str]]:
        if self._listed("test") is not None:
            return
        if not self.test_share:
            yield "splits", f"no test split in {self.place}; data.test_fraction=0.1 would cut one from train"
            return
        shares = [f"test is cut from {self.place} (data.test_fraction={self.test_share:g})"]
        if self._listed("val") is None and not self.folds:
            shares.append(f"val from the rest (data.val_fraction={self.val_fraction:g})")
        whole = "" if self.source("train").groups is None else ", groups kept together"
        yield "splits", f"{', '.join(shares)}: the same share of every class{whole}"

    def _about_resize(self) -> Iterator[tuple[str, str]]:
        if not self._sizes:
            return
        width, height = sorted(self._sizes, key=lambda size: max(size) / min(size))[(len(self._sizes) - 1) // 2]
        share = left_out(width, height, "crop")
        told = {
            "crop": f"crop leaves out {share:.0%} of the pixels",
            "squish": f"squish leaves out no pixels; shapes change: long sides shrink to {1 - share:.0%}",
            "pad": f"pad leaves out no pixels; {share:.0%} of the square is black",
        }
        remedy = "; data.resize=squish or pad shows all" if self.resize == "crop" and share >= 0.005 else ""
        yield "resize", f"{told[self.resize]} (of the median image, {width} x {height}){remedy}"

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        """Width and height of training images, of a sample of many."""
        source = self.source("train")
        if not isinstance(source, Files):
            return []
        sizes = []
        for item in source.paths[:: max(1, len(source) // SAMPLE_OF_SHAPES)]:
            with suppress(UnreadableImage):  # it is told elsewhere
                sizes.append(size_of(item))
        return sizes

    @cached_property
    def _read_splits(self) -> dict[str, Source | None]:
        return {}

    @cached_property
    def _listings(self) -> dict[str, Listing | None]:
        return {}

    @cached_property
    def _skipped(self) -> list[Any]:
        return []

    def _listed(self, split: Split) -> Listing | None:
        if split not in self._listings:
            self._listings[split] = self.list_images(split)
        return self._listings[split]

    def _source_of(self, listing: Listing) -> Source:
        """The images of a split, brought to one size when they are read; without those that are to be skipped."""
        _, size, _ = self.image_shape
        groups = None if listing.groups is None else torch.tensor(listing.groups)
        weights = None if listing.weights is None else torch.tensor(listing.weights, dtype=torch.float64)
        labels = torch.tensor(listing.labels, dtype=torch.long)
        files = Files(
            listing.items,
            labels,
            size,
            self.channels,
            self.cache_folder,
            resize=self.resize,
            groups=groups,
            weights=weights,
        )
        if self.unreadable == "error" or not files.unreadable:
            return files
        refuse_many(files.unreadable, len(files), self.unreadable_limit, self.cache_folder)
        self._skipped.extend(files.unreadable)
        broken = {failure.place for failure in files.unreadable}
        left = [place for place in range(len(files)) if place not in broken]
        if not left:
            raise UserError(f"{self.named_by}: none of the images of {self.place} can be read; repair or replace them")
        return files.subset(torch.tensor(left)).alone()

    def _try(self, source: Source) -> None:
        """Refuse files that cannot be decoded, all at once."""
        if isinstance(source, Files) and self.unreadable == "error":
            refuse(source.unreadable, len(source), self.cache_folder)

    def _try_all(self) -> None:
        """Refuse files of any split that cannot be decoded, all at once.

        Those that stay in memory are decoded for good.
        """
        if self.unreadable != "error":
            return
        val = self.source("val")
        splits: list[Split] = ["train", "val", "test"] if self._has_test else ["train", "val"]
        files = [source for split in splits if isinstance(source := self.source(split), Files)]
        roots = {id(root): root for source in files if (root := source.origin or source)}
        found: list[Unreadable] = []
        for root in roots.values():
            is_of_val = isinstance(val, Files) and root is (val.origin or val)
            try:
                if is_of_val and self.loading != "workers" and self._has_room("train", torch.device("cpu"), None):
                    _ = root.pixels
                elif not is_of_val or root.on_disk() is root:
                    found += root.unreadable
            except UnreadableImages as error:
                found += error.found
        refuse(found, sum(map(len, roots.values())), self.cache_folder)

    def _read_train_and_val(self) -> None:
        super()._read_train_and_val()
        self._check_classes()

    def _check_classes(self) -> None:
        """Refuse a class that training or validation does not have, or that one split has alone.

        Raises:
            UserError: with the number of such classes, the first of them and its images.
        """
        names = self.class_names
        splits = {split: self._sources[split] for split in ("train", "val")}
        if self._has_test:
            splits["test"] = self.source("test")
        counts = {
            split: torch.bincount(source.labels, minlength=len(names)).tolist() for split, source in splits.items()
        }
        lacking = []
        for label, name in enumerate(names):
            held = [split for split in counts if counts[split][label]]
            if len(held) < 2 or "train" not in held:
                count = sum(counts[split][label] for split in held)
                images = f"{count:,} image{'s' * (count != 1)}, in {' and '.join(held)} alone"
                lacking.append(f"class {name!r} has {images if held else 'no images'}")
        if lacking:
            more = f" ({len(lacking):,} classes are such)" if len(lacking) > 1 else ""
            raise UserError(
                f"{self.named_by}: {lacking[0]}{more}; every class needs images in train and in another split: add "
                "some, or leave the class out by data.classes"
            )

    def _common_size(self) -> int:
        listing = self._listed("train")
        assert listing is not None
        # Every file is looked at only when there are few; the others are held to the size when they are read.
        sizes = {}
        for item in listing.items[:: max(1, len(listing) // SAMPLE)]:
            try:
                sizes[item] = size_of(item)
            except UnreadableImage:
                self._try(Files(listing.items, torch.tensor(listing.labels), UNKNOWN_SIZE, cache=self.cache_folder))
        if not sizes:
            raise UserError(f"{self.named_by}: none of the images of {self.place} can be read; repair or replace them")
        width, height = next(iter(sizes.values()))
        odd = next((item for item, size in sizes.items() if size != (width, height) or width != height), None)
        if odd is not None:
            seen = "x".join(map(str, sizes[odd]))
            raise UserError(f"data.image_size: images are not squares of one size ({odd} is {seen}); set it, say to 64")
        return width


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left by an archiver."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether the name is that of an image file."""
    return not is_hidden(name) and name.lower().endswith(SUFFIXES)


def cache_folder(setting: str | None) -> Path | None:
    """The folder that `data.cache` names."""
    return decoded.folder(setting) if setting else None
