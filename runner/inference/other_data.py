"""Another folder or table with images of a run's classes, to score the run on."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from runner.data.dataset import Split
from runner.data.described import Described
from runner.data.folder import class_folders, image_files
from runner.data.source import Files, Source
from runner.data.table import Table
from runner.errors import UserError, did_you_mean
from runner.inference.classifier import Classifier

FLAG = "--data"


@dataclass(kw_only=True)
class OtherData(Described):
    """Images that a run was not trained on, as a test split."""

    images: Files

    def read(self, split: Split) -> Source | None:
        return self.images


def other_data(classifier: Classifier, where: str) -> OtherData:
    """The images in a folder of class folders (of its `test`, if there is one), or of a table's test split, or of all.

    Raises:
        UserError: there are none, or one is of a class that the run does not know.
    """
    path = Path(where).expanduser()
    if not path.exists():
        raise UserError(f"{FLAG}: no folder or table {where}")
    paths, names = _of_folder(path) if path.is_dir() else _of_table(path)
    known = {name: k for k, name in enumerate(classifier.class_names)}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"{FLAG}: {where} has a class {name!r} that the run does not know{hint}")
    if not paths:
        raise UserError(f"{FLAG}: {where} has no images; expected {where}/CLASS/*.jpg")
    described = classifier.described
    images = replace(described.files(paths), labels=torch.tensor([known[name] for name in names]))
    given = {one.name: getattr(described, one.name) for one in fields(described) if one.init}
    return OtherData(**given, images=images)


def _of_folder(folder: Path) -> tuple[Sequence[Path], Sequence[str]]:
    """Image files with their classes."""
    root = folder / "test" if (folder / "test").is_dir() else folder
    found = [(path, name) for name in class_folders(root) for path in image_files(root / name)]
    return [path for path, _ in found], [name for _, name in found]


def _of_table(file: Path) -> tuple[Sequence[Path], Sequence[str]]:
    table = Table(file=str(file))
    listing = table.list_images("train" if table.is_cut else "test")
    if listing is None:
        return [], []
    classes = table.stored_classes
    return [Path(str(item)) for item in listing.items], [classes[label] for label in listing.labels]
