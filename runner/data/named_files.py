"""Your own images: files whose names tell their classes."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from runner.data.dataset import Split
from runner.data.folder import existing_folder, image_files
from runner.data.own_images import Listing, OwnImages, cache_folder
from runner.data.table import sorted_classes
from runner.errors import UserError

SHOWN = 20  # classes that have a line before training
EXAMPLES = 3  # file names of each


@dataclass(kw_only=True)
class NamedFiles(OwnImages):
    """Image files below `root`, at any depth; the first group of `label_regex` in a file's name is its class.

    An expression with a slash is looked for in the path below `root` instead. Files that it does not match are left
    out. Val and test are cut from the others.
    """

    root: str
    label_regex: str
    in_channels: Literal[1, 3] = 3
    cache: str | None = "auto"

    @cached_property
    def stored_classes(self) -> list[str]:
        names = {label for _, label in self._matched}
        if len(names) < 2:
            raise UserError(
                f"data.label_regex: {self.label_regex!r} finds a single class below {self.root} ({next(iter(names))}); "
                "two or more are needed"
            )
        return sorted_classes(names)

    is_cut = True

    @property
    def place(self) -> str:
        return self.root

    @property
    def channels(self) -> int:
        return self.in_channels

    @property
    def cache_folder(self) -> Path | None:
        return cache_folder(self.cache)

    def list_images(self, split: Split) -> Listing | None:
        if split != "train":
            return None
        numbers = {name: label for label, name in enumerate(self.stored_classes)}
        return Listing([path for path, _ in self._matched], [numbers[label] for _, label in self._matched])

    def about(self) -> Iterator[tuple[str, str]]:
        counts = Counter(label for _, label in self._matched)
        for name in self.stored_classes[:SHOWN]:
            examples = [path.name for path, label in self._matched if label == name][:EXAMPLES]
            yield "class", f"{name}: {counts[name]:,} images ({', '.join(examples)})"
        if len(counts) > SHOWN:
            yield "class", f"and {len(counts) - SHOWN:,} more classes"
        unmatched = len(self._files) - len(self._matched)
        if unmatched:
            matched = {path for path, _ in self._matched}
            first = next(path for path in self._files if path not in matched)
            files = f"{unmatched:,} file{'s' * (unmatched > 1)}"
            yield "no match", f"{files} left out, which data.label_regex does not match; first {first}"
        yield from super().about()

    @cached_property
    def _files(self) -> list[Path]:
        files = image_files(existing_folder(self.root))
        if not files:
            raise UserError(f"data.root: {self.root} holds no images; set data.root to the folder with your images")
        return files

    @cached_property
    def _matched(self) -> list[tuple[Path, str]]:
        """Files and their labels."""
        try:
            expression = re.compile(self.label_regex)
        except re.error as error:
            raise UserError(f"data.label_regex: {self.label_regex!r} is no regular expression ({error})") from None
        if not expression.groups:
            raise UserError(
                f"data.label_regex: {self.label_regex!r} has no group; put the part that is the class in parentheses, "
                r"as in '^(.+)_\d+'"
            )
        root = existing_folder(self.root)
        in_path = "/" in self.label_regex
        found = []
        for path in self._files:
            match = expression.search(path.relative_to(root).as_posix() if in_path else path.name)
            if match and match[1]:
                found.append((path, match[1]))
        if not found:
            raise UserError(
                f"data.label_regex: {self.label_regex!r} matches none of {len(self._files):,} files, such as "
                f"{self._files[0].name}; mend the expression"
            )
        return found
