"""Data sets of the Hugging Face Hub, or written to the disk by its library `datasets`."""

import io
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from runner.data.dataset import Split
from runner.data.own_images import Listing, OwnImages
from runner.data.table import sorted_classes
from runner.errors import UserError, did_you_mean

WORDS: Mapping[Split, tuple[str, ...]] = {
    "train": (),
    "val": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Entry:
    """One image of a data set, still encoded."""

    name: str
    images: Any = field(repr=False, compare=False)  # a column that is not decoded
    index: int

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"

    def open(self) -> AbstractContextManager[Any]:
        from PIL import Image

        stored = self.images[self.index]
        return Image.open(stored["path"] if stored["bytes"] is None else io.BytesIO(stored["bytes"]))

    def content(self) -> bytes:
        stored = self.images[self.index]
        content: bytes = Path(stored["path"]).read_bytes() if stored["bytes"] is None else stored["bytes"]
        return content


@dataclass(kw_only=True)
class HuggingFace(OwnImages):
    """A data set by its name on the Hub, or the folder that `save_to_disk` wrote.

    `split` is trained on; `val_split` and `test_split` are those of the usual names, or cut where there are none.
    The images are in `image_column` and the classes in `label_column`, by default the first of their kind.
    """

    name: str
    config_name: str | None = None
    split: str = "train"
    val_split: str | None = None
    test_split: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    in_channels: Literal[1, 3] | None = None  # null: as many as the first image has
    named_by: ClassVar[str] = "data.name"

    @cached_property
    def stored_classes(self) -> list[str]:
        feature = self._splits[self.split].features[self._label_column]
        names = getattr(feature, "names", None)
        if names is not None:
            return list(names)
        found = {str(label) for split in self._used for label in self._splits[split][self._label_column]}
        if len(found) < 2:
            raise UserError(f"data.label_column: {self.name} has a single class; two or more are needed")
        return sorted_classes(found)

    @property
    def is_cut(self) -> bool:
        return self._used == [self.split]

    @property
    def place(self) -> str:
        return f"{self.name} ({self.split})"

    @property
    def channels(self) -> int:
        return self.in_channels or self._first_channels

    @cached_property
    def _first_channels(self) -> int:
        listing = self._listed("train")
        assert listing is not None
        first: Any = listing.items[0]
        try:
            with first.open() as picture:
                return 1 if picture.mode in ("1", "L") else 3
        except Exception:  # it is told with the other images that cannot be read
            return 3

    def list_images(self, split: Split) -> Listing | None:
        stored = self._name_of(split)
        if stored is None:
            return None
        rows = self._splits[stored]
        labels = rows[self._label_column]
        if hasattr(rows.features[self._label_column], "names"):
            numbers = [-1 if label is None else int(label) for label in labels]
        else:
            place = {name: label for label, name in enumerate(self.stored_classes)}
            numbers = [place[str(label)] for label in labels]
        if (unlabeled := sum(number < 0 for number in numbers)) and unlabeled:
            raise UserError(
                f"data.label_column: {unlabeled:,} of {len(numbers):,} images of {self.name} ({stored}) have no label; "
                f"choose other splits by data.split, data.val_split and data.test_split"
            )
        images = _encoded(rows, self._image_column)
        return Listing([Entry(f"{self.name}/{stored}", images, index) for index in range(len(rows))], numbers)

    @property
    def _used(self) -> list[str]:
        names: list[Split] = ["train", "val", "test"]
        return [stored for split in names if (stored := self._name_of(split)) is not None]

    def _name_of(self, split: Split) -> str | None:
        """What the data set calls that split; None where it has none."""
        key = {"train": "split", "val": "val_split", "test": "test_split"}[split]
        name = getattr(self, key)
        if name is None:
            others = {self.split, self.val_split, self.test_split}
            return next((word for word in WORDS[split] if word in self._splits and word not in others), None)
        if name not in self._splits:
            raise UserError(f"data.{key}: {self.name} has no split {name!r}{did_you_mean(name, self._splits)}")
        return str(name)

    @property
    def _image_column(self) -> str:
        return self._column("image_column", "Image")

    @property
    def _label_column(self) -> str:
        return self._column("label_column", "ClassLabel")

    def _column(self, key: str, kind: str) -> str:
        if self.split not in self._splits:
            raise UserError(
                f"data.split: {self.name} has no split {self.split!r}{did_you_mean(self.split, self._splits)}"
            )
        features = self._splits[self.split].features
        name = getattr(self, key)
        if name is not None:
            if name not in features:
                raise UserError(f"data.{key}: {self.name} has no column {name!r}{did_you_mean(name, features)}")
            return str(name)
        found = next((name for name, feature in features.items() if type(feature).__name__ == kind), None)
        fallback = next((name for name in ("label", "labels") if name in features), None)
        if found is None and kind == "ClassLabel" and fallback is not None:
            return fallback
        if found is None:
            raise UserError(f"data.{key}: {self.name} has no column of {kind}; name one of {', '.join(features)}")
        return str(found)

    @cached_property
    def _splits(self) -> Mapping[str, Any]:
        """The data set's splits by name.

        Raises:
            UserError: the library is not installed, or the data set cannot be had.
        """
        try:
            import datasets
        except ImportError:
            raise UserError(
                "data: data=huggingface needs the package datasets; install it by pip install 'runner[datasets]'"
            ) from None
        folder = Path(self.name).expanduser()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # else each attempt without a network is told
        try:
            if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
                loaded = datasets.load_from_disk(str(folder))
            else:
                loaded = datasets.load_dataset(str(folder) if folder.is_dir() else self.name, self.config_name)
        except Exception as error:  # of many kinds: no network, no such name, a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"data.name: {self.name} cannot be loaded ({reason}); give the name of a data set on the Hub, or a "
                "folder that save_to_disk wrote"
            ) from None
        return loaded if isinstance(loaded, Mapping) else {self.split: loaded}


def _encoded(rows: Any, column: str) -> Any:
    """The images of a column, not decoded, by index.

    Raises:
        UserError: the column holds no images.
    """
    import datasets

    if type(rows.features[column]).__name__ != "Image":
        raise UserError(f"data.image_column: column {column!r} holds no images; name another one")
    return _Column(rows.select_columns([column]).cast_column(column, datasets.Image(decode=False)), column)


class _Column:
    """One column of rows, read row by row."""

    def __init__(self, rows: Any, name: str) -> None:
        self.rows, self.name = rows, name

    def __getitem__(self, index: int) -> Any:
        return self.rows[int(index)][self.name]
