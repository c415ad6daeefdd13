"""Your own images: a folder a class, with or without folders for the splits."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from runner.data.dataset import Split
from runner.data.own_images import SPLITS, SUFFIXES, Listing, OwnImages, cache_folder, is_hidden, is_image
from runner.errors import UserError

VAL_ELSEWHERE = ("valid", "validation")  # what others call the folder


@dataclass(kw_only=True)
class Folder(OwnImages):
    """Class folders under `root/train` and `root/test`, and `root/val`; or under `root` itself.

    Without any of the three, val and test are cut from all images. Else val is cut from train where there is no
    `root/val`, and there is no test split without `root/test`, unless `test_fraction` cuts one.
    Images are scaled to `image_size` and made square as `resize` says; with null, all images must already be squares of
    one size. Where an augmentation or a test-time augmentation cuts from the picture, it is kept larger, whole for the
    first and as a larger square for the second. `cache`: a folder for the decoded images of a set that stays in
    memory; `auto` is the user's own caches.
    """

    root: str
    in_channels: Literal[1, 3] = 3
    cache: str | None = "auto"

    @cached_property
    def stored_classes(self) -> list[str]:
        train = self._folder("train")
        assert train is not None
        names = class_folders(train)
        if not names:
            loose = "; data=files and data=table read images that lie side by side" if image_files(train) else ""
            raise UserError(f"data.root: {train} has no class folders; expected {train}/CLASS/*.jpg{loose}")
        if len(names) < 2:
            raise UserError(f"data.root: {train} has a single class folder ({names[0]}); two or more are needed")
        return names

    @cached_property
    def is_cut(self) -> bool:
        return not any((existing_folder(self.root) / split).is_dir() for split in SPLITS)

    @property
    def place(self) -> str:
        return self.root if self.is_cut else f"{self.root}/train"

    @property
    def channels(self) -> int:
        return self.in_channels

    @property
    def cache_folder(self) -> Path | None:
        return cache_folder(self.cache)

    @property
    def no_test(self) -> str:
        expected = f"expected {self.root}/test/CLASS/*.jpg"
        if self.is_cut:
            return f"data.test_fraction: 0 leaves no test split of {self.root}; set it to 0.1"
        return f"data.root: {self.root} has no folder 'test'; {expected}, or cut one by data.test_fraction=0.1"

    def about(self) -> Iterator[tuple[str, str]]:
        if not self.is_cut and self._listed("val") is None:
            for name in VAL_ELSEWHERE:
                if (existing_folder(self.root) / name).is_dir():
                    yield "unused", f"{self.root}/{name} is not read; rename it to val to validate on it"
        yield from super().about()

    def list_images(self, split: Split) -> Listing | None:
        folder = self._folder(split)
        if folder is None:
            return None
        unknown = sorted(set(class_folders(folder)) - set(self.stored_classes))
        if unknown:
            raise UserError(f"data.root: {folder / unknown[0]} is a class that {self.root}/train does not have")
        paths: list[Path] = []
        labels: list[int] = []
        chosen = self._choice
        for label, name in enumerate(self.stored_classes):
            if chosen is not None and chosen.labels[label] < 0:
                continue
            images = image_files(folder / name) if (folder / name).is_dir() else []
            if not images:
                kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
                raise UserError(f"data.root: {folder / name} holds no images ({kinds}); add some or remove the class")
            paths += images
            labels += [label] * len(images)
        return Listing(paths, labels)

    def _folder(self, split: Split) -> Path | None:
        """The folder of a split, which is the root where there are no splits; of train there must be one."""
        root = existing_folder(self.root)
        if self.is_cut:
            return root if split == "train" else None
        if split == "train" and not (root / split).is_dir():
            raise UserError(
                f"data.root: {self.root} has no folder 'train'; expected {self.root}/train/CLASS/*.jpg, or class "
                f"folders alone, {self.root}/CLASS/*.jpg"
            )
        return root / split if (root / split).is_dir() else None


def existing_folder(setting: str, key: str = "data.root") -> Path:
    """The folder that a key names.

    Raises:
        UserError: there is none.
    """
    folder = Path(setting).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}: no folder {setting}; set {key} to the folder with your images")
    return folder


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in it, but for hidden ones and what an archiver left."""
    with _scanning(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))


def image_files(folder: Path) -> list[Path]:
    """The image files below a folder, at any depth, sorted by their path."""
    return [Path(text) for text in sorted(_files(str(folder)))]


def _files(folder: str) -> Iterator[str]:
    """Many thousands of paths, so as plain text."""
    with _scanning(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if not is_hidden(entry.name) and not _leads_up(entry):
                    yield from _files(entry.path)
            elif is_image(entry.name):
                yield entry.path


def _leads_up(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a link to a folder that it lies in, below which there would be no end."""
    if not entry.is_symlink():
        return False
    target, place = (Path(path).resolve() for path in (entry.path, Path(entry.path).parent))
    return place.is_relative_to(target)


def _scanning(folder: str | Path) -> "os._ScandirIterator[str]":
    try:
        return os.scandir(os.fspath(folder))
    except OSError as error:
        raise UserError(f"data.root: {folder} cannot be read ({error.strerror}); see to its permissions") from None
