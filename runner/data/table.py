"""Your own images: a table with a row an image, as CSV, TSV or Parquet."""

import csv
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from runner.data.dataset import Split
from runner.data.folder import existing_folder
from runner.data.own_images import Listing, OwnImages, cache_folder
from runner.errors import UserError, did_you_mean

SPLIT_WORDS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Rows:
    """The columns that are used, a value an image; None for a column that the table does not have."""

    paths: list[Path]
    labels: list[str]
    splits: list[Split] | None
    groups: list[int] | None
    weights: list[float] | None


@dataclass(kw_only=True)
class Table(OwnImages):
    """A table of image files and their classes. Without a column for the split, val and test are cut from all rows.

    Paths are taken from `root`, or from the folder of the table. A column that has its default name need not be there,
    but for the path and the label. Images of one group never stand in two splits.
    """

    file: str
    root: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = "split"
    weight_column: str | None = "weight"
    group_column: str | None = "group"
    in_channels: Literal[1, 3] = 3
    cache: str | None = "auto"
    named_by: ClassVar[str] = "data.file"

    @cached_property
    def stored_classes(self) -> list[str]:
        names = set(self._rows.labels)
        if len(names) < 2:
            raise UserError(
                f"data.label_column: {self.file} has a single class in column {self.label_column!r} "
                f"({next(iter(names))}); two or more are needed"
            )
        return sorted_classes(names)

    @property
    def is_cut(self) -> bool:
        return self._rows.splits is None

    @property
    def place(self) -> str:
        return self.file

    @property
    def channels(self) -> int:
        return self.in_channels

    @property
    def cache_folder(self) -> Path | None:
        return cache_folder(self.cache)

    def list_images(self, split: Split) -> Listing | None:
        rows = self._rows
        chosen: Sequence[int] = range(len(rows.paths))
        if rows.splits is not None:
            chosen = [i for i in chosen if rows.splits[i] == split]
        elif split != "train":
            return None
        if not chosen and split != "train":
            return None
        if not chosen:
            raise UserError(f"data.split_column: no row of {self.file} is of the split 'train'; mark some")
        numbers = {name: label for label, name in enumerate(self.stored_classes)}
        return Listing(
            [rows.paths[i] for i in chosen],
            [numbers[rows.labels[i]] for i in chosen],
            None if rows.groups is None else [rows.groups[i] for i in chosen],
            None if rows.weights is None else [rows.weights[i] for i in chosen],
        )

    @cached_property
    def _rows(self) -> Rows:
        columns = read_table(Path(self.file).expanduser(), self.file)
        paths = self._paths(self._column(columns, "path_column"))
        labels = self._column(columns, "label_column")
        self._refuse_rows("data.label_column", "no label", [not label for label in labels])
        splits = self._optional(columns, "split_column")
        groups, weights = self._optional(columns, "group_column"), self._optional(columns, "weight_column")
        rows = Rows(
            paths,
            labels,
            None if splits is None else self._splits(splits),
            None if groups is None else _numbered(groups),
            None if weights is None else self._weights(weights),
        )
        self._check_groups(rows, groups)
        return rows

    def _paths(self, texts: Sequence[str]) -> list[Path]:
        self._refuse_rows("data.path_column", "no file", [not text for text in texts])
        root = existing_folder(self.root) if self.root is not None else Path(self.file).expanduser().parent
        paths = [root / text for text in texts]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"data.file: {len(missing):,} of {len(paths):,} files of {self.file} are missing, first {missing[0]}; "
                "set data.root to the folder that their paths begin in"
            )
        counts = Counter(map(os.path.normpath, paths))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            others = f", as do {len(twice) - 1:,} other files" if len(twice) > 1 else ""
            raise UserError(
                f"data.file: {twice[0]} stands in several rows of {self.file}{others}; keep one row for each"
            )
        return paths

    def _splits(self, texts: Sequence[str]) -> list[Split]:
        splits = [SPLIT_WORDS.get(text.lower()) for text in texts]
        wrong = [split is None for split in splits]
        self._refuse_rows("data.split_column", "no split of train, val and test", wrong, texts)
        return [split for split in splits if split is not None]

    def _weights(self, texts: Sequence[str]) -> list[float]:
        weights = [_number(text) for text in texts]
        wrong = [not (math.isfinite(weight) and weight >= 0) for weight in weights]
        self._refuse_rows("data.weight_column", "no number of at least 0", wrong, texts)
        if not any(weights):
            raise UserError(f"data.weight_column: all weights of {self.file} are 0; set it to null to use none")
        return weights

    def _check_groups(self, rows: Rows, names: Sequence[str] | None) -> None:
        """Refuse groups that the table itself puts into two splits, or that say nothing."""
        if rows.groups is None or rows.splits is None or names is None:
            return
        splits_of: dict[str, set[str]] = {}
        for name, split in zip(names, rows.splits, strict=True):
            splits_of.setdefault(name, set()).add(split)
        torn = [name for name, splits in splits_of.items() if name and len(splits) > 1]
        if torn:
            raise UserError(
                f"data.group_column: {len(torn):,} groups of {self.file} stand in two splits, first {torn[0]!r} in "
                f"{' and '.join(sorted(splits_of[torn[0]]))}; move each into one, or set data.group_column=null"
            )

    def _column(self, columns: Mapping[str, list[str]], key: str) -> list[str]:
        name = getattr(self, key)
        if name not in columns:
            raise UserError(f"data.{key}: {self.file} has no column {name!r}{did_you_mean(name, columns)}")
        return columns[name]

    def _optional(self, columns: Mapping[str, list[str]], key: str) -> list[str] | None:
        """A column that may be lacking under its default name."""
        name = getattr(self, key)
        if name is None or (name not in columns and name == type(self).__dataclass_fields__[key].default):
            return None
        return self._column(columns, key)

    def _refuse_rows(self, key: str, what: str, wrong: Sequence[bool], texts: Sequence[str] | None = None) -> None:
        if any(wrong):
            first = wrong.index(True)
            value = f" ({texts[first]!r})" if texts is not None else ""
            where = f"{sum(wrong):,} of {len(wrong):,} rows of {self.file}, first row {first + 1}{value}"
            raise UserError(f"{key}: {what} in {where}; mend the table")


def read_table(path: Path, named: str) -> dict[str, list[str]]:
    """The columns of a table as text, by name.

    Raises:
        UserError: it cannot be read, has no rows, or needs a package that is not installed.
    """
    if not path.is_file():
        raise UserError(f"data.file: no file {named}; set data.file to the table of your images")
    try:
        columns = _read_parquet(path) if path.suffix.lower() in PARQUET else _read_text(path)
    except UserError:
        raise
    except Exception as error:  # of a damaged file: whatever its reader stumbles over
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise UserError(f"data.file: {named} cannot be read as a table ({reason})") from None
    if not columns or not next(iter(columns.values())):
        raise UserError(f"data.file: {named} has no rows; expected a first line of names, then a row for each image")
    return columns


def sorted_classes(names: set[str]) -> list[str]:
    """In their order as numbers where all are whole numbers, else as text."""
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def _read_text(path: Path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        head = file.readline()
        file.seek(0)
        delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else max(",;\t", key=head.count)
        names, *rows = [row for row in csv.reader(file, delimiter=delimiter) if row] or [[]]
    names = [name.strip() for name in names]
    odd = next((place for place, row in enumerate(rows, 1) if len(row) != len(names)), None)
    if odd is not None:
        raise UserError(
            f"data.file: row {odd} of {path} has {len(rows[odd - 1])} values for {len(names)} columns; mend the table"
        )
    return {name: [row[column].strip() for row in rows] for column, name in enumerate(names)}


def _read_parquet(path: Path) -> dict[str, list[str]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"data.file: {path} is Parquet, which needs pyarrow; install it by pip install 'runner[datasets]', or "
            "write the table as CSV"
        ) from None
    table = pyarrow.parquet.read_table(path)
    values = {name: table.column(name).to_pylist() for name in table.column_names}
    return {name: ["" if value is None else str(value) for value in column] for name, column in values.items()}


def _numbered(groups: Sequence[str]) -> list[int]:
    """A number for each group; images without one are groups of their own."""
    numbers: dict[str, int] = {}
    return [
        numbers.setdefault(name, len(numbers)) if name else len(groups) + place for place, name in enumerate(groups)
    ]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
