"""What people write beside a run or a sweep: tags and a note, in a file of their own."""

import json
from collections.abc import Sequence
from pathlib import Path

from runner.files import parse_json, replace_file
from runner.store.config_file import FORMAT

ANNOTATIONS = "annotations.json"


def read_annotations(path: Path) -> tuple[list[str], str]:
    """Tags and note of a folder; none where the file is missing or damaged."""
    try:
        found = parse_json((path / ANNOTATIONS).read_bytes())
        return [str(tag) for tag in found["tags"]], str(found["note"])
    except (OSError, ValueError, KeyError, TypeError):
        return [], ""


def write_annotations(path: Path, tags: Sequence[str], note: str) -> None:
    """Replace tags and note of a folder.

    Raises:
        UserError: a link has the file's name.
    """
    content = {"format": FORMAT, "tags": list(tags), "note": note}
    replace_file(path / ANNOTATIONS, json.dumps(content, indent=1) + "\n")
