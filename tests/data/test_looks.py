"""What is said of a data set before a training looks as it did when it was last looked at."""

import csv

import numpy as np
import pytest
from PIL import Image

import runner

COUNTS = {"cat": 64, "dog": 12, "emu": 6}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Images of three classes as a folder, a folder of splits, named files and a table; paths are from here."""
    monkeypatch.chdir(tmp_path)
    rows = [("path", "label", "owner", "weight")]
    for label, count in COUNTS.items():
        for number in range(count):
            picture = Image.fromarray(np.full((20, 30 + number % 3, 3), 3 * number, dtype=np.uint8))
            paths = [f"flat/{label}/{number}.png", f"named/{label}_{number}.png"]
            paths.append(f"split/{'test' if number % 4 == 0 else 'train'}/{label}/{number}.png")
            for path in map(tmp_path.joinpath, paths):
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
            rows.append((paths[0], label, f"{label}{number // 4}", 1 + number % 2))
    for number in range(60):
        Image.new("RGB", (30, 20)).save(tmp_path / f"named/kind{number // 3}_{number}.png")
    for name in ("other", "others"):
        Image.new("RGB", (30, 20)).save(tmp_path / f"named/{name}.png")
    (tmp_path / "split/valid").mkdir()
    with (tmp_path / "labels.csv").open("w") as file:
        csv.writer(file).writerows(rows)


FOLDER = ["data=folder", "data.root=flat", "data.image_size=16"]
SPLIT = ["data=folder", "data.root=split", "data.image_size=16"]
FILES = ["data=files", "data.root=named", r"data.label_regex='^(\w+)_'", "data.image_size=16"]
TABLE = ["data=table", "data.file=labels.csv", "data.image_size=16"]
CHOICES = {
    "digits": ["data=digits"],
    "digits, few": ["data=digits", "data.fraction=0.5", "data.images_per_class=20"],
    "digits, fold": ["data=digits", "data.folds=5", "data.fold=2"],
    "digits, oversampled": ["data=digits", "data.balance=oversample", "data.fraction=0.25"],
    "digits, growing": ["data=digits", "data.progressive_sizes=[4,8]"],
    "folder": FOLDER,
    "folder, no test": [*FOLDER, "data.test_fraction=0"],
    "folder, folds": [*FOLDER, "data.folds=2"],
    "folder, padded": [*FOLDER, "data.resize=pad"],
    "folder, squished": [*FOLDER, "data.resize=squish", "data.classes=[dog,emu]"],
    "folder, merged": [*FOLDER, "data.merge={emu: bird, dog: bird}", "data.balance=weights"],
    "split folder": SPLIT,
    "files": FILES,
    "table": [*TABLE, "data.weight_column=null"],
    "table, groups": [*TABLE, "data.weight_column=null", "data.group_column=owner", "data.test_fraction=0.2"],
    "table, weights": TABLE,
}


def test_what_is_said_of_a_data_set_looks_as_it_did(place, looks):
    said = []
    for name, words in CHOICES.items():
        dataset = runner.build.data(runner.compose([*words, "data.cache=null"] if "digits" not in name else words))
        sizes = [len(dataset.source(split)) for split in ("train", "val")]
        said.append(f"{name}: {sizes}, {dataset.num_test_images}, {dataset.class_names[:4]}, {dataset.image_shape}")
        said += [f"  {what}: {line}" for what, line in dataset.about()]
    looks("data/about", "\n".join(said))
