"""Your own images: a folder a class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from runner.constraints import PositiveInt
from runner.data import decoded_cache as decoded
from runner.data.dataset import Data, Split
from runner.data.source import Files, size_of
from runner.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(kw_only=True)
class Folder(Data):
    """Class folders under `root/train` and `root/test`; `root/val` is optional, else val is cut from train.

    Images are scaled to `image_size` on the short side and cut to a centered square; with null, all images must
    already be squares of one size. Where an augmentation or a test-time augmentation cuts from the picture, it is kept
    larger, whole for the first and as a larger square for the second. `cache`: a folder for the decoded images of a
    set that stays in memory; `auto` is the user's own caches.
    """

    root: str
    image_size: PositiveInt | None = None  # null until the files are looked at
    in_channels: Literal[1, 3] = 3
    cache: str | None = "auto"

    @cached_property
    def class_names(self) -> list[str]:
        train = self._required_folder("train")
        names = _class_folders(train)
        if not names:
            raise UserError(f"data.root: {train} has no class folders; expected {train}/CLASS/*.jpg")
        if len(names) < 2:
            raise UserError(f"data.root: {train} has a single class folder ({names[0]}); two or more are needed")
        return names

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        size = self.image_size or self._common_size()
        return self.in_channels, size, size

    @property
    def has_larger(self) -> bool:
        return self.image_size is not None

    def read(self, split: Split) -> Files | None:
        if split in self._scanned:
            return self._scanned[split]
        folder = self._split_folder("val") if split == "val" else self._required_folder(split)
        if folder is None:
            assert split == "val"
            return None
        paths, labels = self._scan(folder)
        _, size, _ = self.image_shape
        cache = decoded.folder(self.cache) if self.cache else None
        self._scanned[split] = Files(paths, torch.tensor(labels), size, self.in_channels, cache)
        return self._scanned[split]

    @property
    def num_test_images(self) -> int | None:
        folder = self._split_folder("test")
        return None if folder is None else len(self._scan(folder)[0])

    @cached_property
    def _scanned(self) -> dict[str, Files]:
        return {}

    def _scan(self, folder: Path) -> tuple[list[Path], list[int]]:
        """Images and labels of a split."""
        if folder not in self._found:
            self._found[folder] = self._look(folder)
        return self._found[folder]

    @cached_property
    def _found(self) -> dict[Path, tuple[list[Path], list[int]]]:
        return {}

    def _look(self, folder: Path) -> tuple[list[Path], list[int]]:
        unknown = sorted(set(_class_folders(folder)) - set(self.class_names))
        if unknown:
            raise UserError(f"data.root: {folder / unknown[0]} is a class that {self.root}/train does not have")
        paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(self.class_names):
            images = _images(folder / name) if (folder / name).is_dir() else []
            if not images:
                kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
                raise UserError(f"data.root: {folder / name} holds no images ({kinds}); add some or remove the class")
            paths += images
            labels += [label] * len(images)
        return paths, labels

    def _split_folder(self, split: str) -> Path | None:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise UserError(f"data.root: no folder {self.root}; set data.root to a folder with train/ and test/ in it")
        return root / split if (root / split).is_dir() else None

    def _required_folder(self, split: str) -> Path:
        folder = self._split_folder(split)
        if folder is None:
            raise UserError(f"data.root: {self.root} has no folder '{split}'; expected {self.root}/{split}/CLASS/*.jpg")
        return folder

    def _common_size(self) -> int:
        paths, _ = self._scan(self._required_folder("train"))
        width, height = size_of(paths[0])
        # Every file is looked at only when there are few; the others are held to the size when they are read.
        odd = next((path for path in paths[:: max(1, len(paths) // 1000)] if size_of(path) != (width, height)), None)
        if odd or width != height:
            named = odd or paths[0]
            seen = "x".join(map(str, size_of(named)))
            raise UserError(
                f"data.image_size: images are not squares of one size ({named} is {seen}); set it, say to 64"
            )
        return width


def _class_folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return [Path(text) for text in sorted(_files(str(folder)))]


def _files(folder: str) -> Iterator[str]:
    """Paths of image files at any depth; many thousands of them, so as plain text."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path)
            elif not entry.name.startswith(".") and entry.name.lower().endswith(SUFFIXES):
                yield entry.path
