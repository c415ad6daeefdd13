"""Images that cannot be decoded: all of them told at once, or left out up to a limit."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from runner.errors import UserError
from runner.files import replace_file

NAMED = 10  # in the message; a file holds the rest
LIST = "unreadable.txt"

OnUnreadable = Literal["error", "skip"]


class Unreadable(NamedTuple):
    """An image that cannot be decoded: its place in the split, its name, and why."""

    place: int
    item: str
    reason: str

    def __str__(self) -> str:
        return f"{self.item}: {self.reason}"


class UnreadableImages(UserError):
    """Images that cannot be decoded, all of them in `found`."""

    def __init__(self, message: str, found: Sequence[Unreadable]) -> None:
        super().__init__(message)
        self.found = found


def refuse(found: Sequence[Unreadable], num_images: int, folder: Path | None) -> None:
    """Nothing where all images can be read.

    Raises:
        UnreadableImages: with the count, the first of them, and the file in `folder` that lists all.
    """
    if not found:
        return
    if len(found) == 1:
        one = f"{found[0].item}: not a readable image ({found[0].reason})"
        raise UnreadableImages(f"{one}; repair or remove the file, or set data.unreadable=skip", found)
    named = ", ".join(f"{failure.item} ({failure.reason})" for failure in found[:NAMED])
    more = f" and {len(found) - NAMED:,} more, all listed in {_written(found, folder)}" if len(found) > NAMED else ""
    count = f"{len(found):,} of {num_images:,} images cannot be read"
    remedy = "repair or remove them, or set data.unreadable=skip"
    raise UnreadableImages(f"data.unreadable: {count}: {named}{more}; {remedy}", found)


def refuse_many(found: Sequence[Unreadable], num_images: int, limit: float, folder: Path | None) -> None:
    """Nothing where no larger share of the images than the limit is to be left out.

    Raises:
        UserError: there are more.
    """
    if len(found) > limit * num_images:
        share = f"{len(found):,} of {num_images:,} images ({len(found) / num_images:.1%}) cannot be read"
        raise UserError(
            f"data.unreadable_limit: {share}, and {limit:.1%} may be left out; first: {found[0]}; all are listed in "
            f"{_written(found, folder)}; repair them, or raise the limit"
        )


def listed(found: Sequence[Unreadable]) -> str:
    """A line for each."""
    return "".join(f"{failure}\n" for failure in found)


def _written(found: Sequence[Unreadable], folder: Path | None) -> Path:
    """The file with the whole list: in that folder, or where temporary files are."""
    for place in (folder, Path(tempfile.gettempdir()) / "runner"):
        if place is not None:
            try:
                place.mkdir(parents=True, exist_ok=True)
                replace_file(place / LIST, listed(found))
            except OSError:
                continue
            return place / LIST
    raise UserError(f"data.unreadable: {found[0]}, and the list of all {len(found):,} could not be written anywhere")
