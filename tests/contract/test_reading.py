"""Every way of reading one's own images keeps the same promises, held here to the same pictures in each shape."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.data import Images

CLASSES = ("cat", "dog")
COUNTS = {"train": 12, "test": 4}  # of each class
SIDE = 12


def pictures():
    """split -> class -> uint8 [n, SIDE, SIDE, 3]."""
    numbers = np.random.default_rng(0)
    return {
        split: {name: numbers.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8) for name in CLASSES}
        for split, count in COUNTS.items()
    }


def save_all(folder, name_of):
    """Write every picture as a file below the folder, and give (path below it, class, split) of each."""
    rows = []
    for split, classes in pictures().items():
        for label, arrays in classes.items():
            for index, array in enumerate(arrays):
                path = folder / name_of(split, label, index)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
                rows.append((path.relative_to(folder).as_posix(), label, split))
    return rows


def as_folder(root):
    save_all(root, lambda split, label, i: f"{split}/{label}/{i}.png")
    return ["data=folder", f"data.root={root}"]


def as_flat_folder(root):
    save_all(root, lambda split, label, i: f"{label}/{split}/{i}.PNG")
    return ["data=folder", f"data.root={root}"]


def as_table(root, suffix=".csv", with_split=True):
    rows = save_all(root / "images", lambda split, label, i: f"{split}{label}{i}.png")
    path = root / f"labels{suffix}"
    names = ["path", "label", "split"][: 3 if with_split else 2]
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(dict(zip(names, zip(*rows, strict=True), strict=False))), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerows([names, *(row[: len(names)] for row in rows)])
    return ["data=table", f"data.file={path}", f"data.root={root}/images"]


def as_named_files(root):
    save_all(root, lambda split, label, i: f"{label}_{i + (100 if split == 'test' else 0)}.png")
    return ["data=files", f"data.root={root}", r"data.label_regex=^(.+)_\d+"]


def joined(splits):
    pairs = [(array, label) for split in splits for label, array in pictures()[split].items()]
    return np.concatenate([array for array, _ in pairs]), np.concatenate(
        [[label] * len(array) for array, label in pairs]
    )


def as_arrays(root):
    images, labels = joined(COUNTS)
    np.savez(root / "x.npz", images=images, labels=labels)
    return ["data=arrays", f"data.file={root}/x.npz"]


def as_arrays_by_split(root):
    arrays = {}
    for split in COUNTS:
        arrays[f"{split}_images"], labels = joined([split])
        arrays[f"{split}_labels"] = np.array([CLASSES.index(label) for label in labels])[:, None]
    np.savez(root / "x.npz", class_names=np.array(CLASSES), **arrays)
    return ["data=arrays", f"data.file={root}/x.npz"]


def as_torchvision(root):
    rows = save_all(root / "food-101/images", lambda split, label, i: f"{label}/{split}{i}.jpg.png")
    for path, _, _ in rows:  # torchvision adds .jpg to the names, and Pillow looks at the content
        file = root / "food-101/images" / path
        file.rename(file.with_suffix(""))
    (root / "food-101/meta").mkdir()
    for split in COUNTS:
        listed = {name: [path[:-8] for path, label, own in rows if (label, own) == (name, split)] for name in CLASSES}
        (root / f"food-101/meta/{split}.json").write_text(json.dumps(listed))
    return ["data=torchvision", "data.name=Food101", f"data.root={root}"]


def as_huggingface(root):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})

    def rows(split):
        images, labels = joined([split])
        content = {"image": [Image.fromarray(image) for image in images], "label": labels.tolist()}
        return datasets.Dataset.from_dict(content, features=features)

    datasets.disable_progress_bars()
    datasets.DatasetDict({split: rows(split) for split in COUNTS}).save_to_disk(root / "pets")
    return ["data=huggingface", f"data.name={root}/pets"]


WAYS = {
    "folder": as_folder,
    "flat folder": as_flat_folder,
    "CSV with splits": as_table,
    "TSV with splits": lambda root: as_table(root, ".tsv"),
    "Parquet with splits": lambda root: as_table(root, ".parquet"),
    "CSV without splits": lambda root: as_table(root, with_split=False),
    "named files": as_named_files,
    "arrays": as_arrays,
    "arrays by split": as_arrays_by_split,
    "torchvision": as_torchvision,
    "huggingface": as_huggingface,
}
CUT = ("flat folder", "CSV without splits", "named files", "arrays")


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def words(way, tmp_path):
    (tmp_path / "own").mkdir()
    return [*WAYS[way](tmp_path / "own"), "data.val_fraction=0.25", "data.batch_size=5", "model=linear"]


def held(source, names):
    """Each picture with the name of its class."""
    pixels = source.read(range(len(source)))
    return sorted(
        (bytes(one.numpy().tobytes()), names[label]) for one, label in zip(pixels, source.labels, strict=True)
    )


def expected(splits):
    return sorted(
        (array.transpose(2, 0, 1).tobytes(), label)
        for split in splits
        for label, arrays in pictures()[split].items()
        for array in arrays
    )


def test_has_the_same_images_and_labels(way, words):
    data = runner.build.data(runner.compose(words))
    assert data.class_names == list(CLASSES)
    assert data.image_shape == (3, SIDE, SIDE)
    parts = {split: held(data.source(split), data.class_names) for split in ("train", "val", "test")}
    assert sorted(parts["train"] + parts["val"] + parts["test"]) == expected(COUNTS)
    if way not in CUT:
        assert parts["test"] == expected(["test"])
    for part in parts.values():
        assert {label for _, label in part} == set(CLASSES)
    assert data.num_test_images == len(parts["test"])


def test_gives_the_same_bits_by_either_way_of_loading(words):
    seen = []
    for loading, num_workers in (("in_memory", 0), ("workers", 0), ("workers", 2)):
        more = [f"data.loading={loading}", f"data.num_workers={num_workers}", "augment=flip"]
        training = runner.build.training(runner.compose([*words, *more]))
        batches = [*training.train.epoch(0), *training.train.epoch(1), *training.evaluate.batches.epoch()]
        seen.append([torch.cat([part.flatten() for part in column]) for column in zip(*batches, strict=True)])
    for images, labels in seen[1:]:
        assert torch.equal(images, seen[0][0])
        assert torch.equal(labels, seen[0][1])


def test_is_cut_and_told_the_same_every_time(words):
    first, second = (runner.build.data(runner.compose(words)) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    for split in ("train", "val", "test"):
        assert held(first.source(split), CLASSES) == held(second.source(split), CLASSES)


def test_other_pixels_have_another_fingerprint(way, tmp_path, monkeypatch):
    made = {}
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        true_rng = np.random.default_rng
        monkeypatch.setattr(np.random, "default_rng", lambda _, seed=seed, true_rng=true_rng: true_rng(seed))
        made[seed] = runner.build.data(runner.compose(WAYS[way](tmp_path / str(seed)))).fingerprint
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert made[0]["labels"] == made[1]["labels"]
    assert made[0]["contents of images"] != made[1]["contents of images"]


@pytest.mark.parametrize("resize", ["crop", "squish", "pad"])
def test_is_scaled_alike(way, words, tmp_path, resize):
    data = runner.build.data(runner.compose([*words, "data.image_size=8", f"data.resize={resize}"]))
    theirs = [
        np.asarray(Image.fromarray(array).resize((8, 8), Image.Resampling.BICUBIC)) for array in joined(COUNTS)[0]
    ]
    ours = [data.source(split).read(range(len(data.source(split)))) for split in ("train", "val", "test")]
    assert not isinstance(data.source("train"), Images)
    assert sorted(bytes(one.numpy().tobytes()) for part in ours for one in part) == sorted(
        one.transpose(2, 0, 1).tobytes() for one in theirs
    )


def test_chooses_merges_and_limits_classes(words):
    data = runner.build.data(runner.compose([*words, "data.classes=[dog,cat]", "data.images_per_class=3"]))
    assert data.class_names == ["dog", "cat"]
    train = held(data.source("train"), data.class_names)
    assert [label for _, label in train].count("dog") == 3
    assert set(train) <= set(expected(COUNTS))
    assert len(train) == 6


@pytest.mark.slow
def test_trains_and_tests(words, train, tmp_path):
    run = train(*words, "engine.epochs=1", "data.balance=oversample")
    assert run.status == "finished"
    assert 0 <= runner.test(run.folder)["accuracy"] <= 1
