"""One's own images: what is cut from them, what is left out, what is told, and what is refused in one line."""

import csv
import io
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import runner
from runner.data import Arrays, Folder, Images, NamedFiles, Table
from runner.data import huggingface as hub
from runner.data.decoding import decode
from runner.data.torchvision import _labels_of
from runner.errors import UserError
from runner.training.header import print_header


def save(path, size=(12, 12), color=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(abs(hash(path.name)) % 2**32)
    shape = (size[1], size[0], 3)
    pixels = numbers.integers(0, 256, shape, dtype=np.uint8) if color is None else np.full(shape, color, np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    """Class folders alone: forty cats and twenty dogs."""
    for name, count in {"cat": 40, "dog": 20}.items():
        for index in range(count):
            save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


@pytest.fixture
def split_photos(photos):
    """The same as photos/train/CLASS."""
    (photos / "train").mkdir()
    for name in ("cat", "dog"):
        (photos / name).rename(photos / "train" / name)
    return photos


def sizes(data):
    return [len(data.source(split)) for split in ("train", "val", "test")]


def header(*words):
    cfg = runner.compose([*words, "model=linear"])
    dataset = runner.build.data(cfg)
    training = runner.build.training(cfg, dataset)
    console = Console(file=io.StringIO(), width=60)
    print_header(console, training, dataset, [])
    return console.file.getvalue().splitlines()


class TestFlatFolder:
    def test_is_cut_by_class_whatever_the_split_seed_is_for_test(self, photos):
        one, other = Folder(root=str(photos)), Folder(root=str(photos), split_seed=1)
        assert sizes(one) == [48, 6, 6]  # test 4 and 2 of 40 and 20, val 4 and 2 of 36 and 18
        for split, counts in {"train": [32, 16], "val": [4, 2], "test": [4, 2]}.items():
            assert torch.bincount(one.source(split).labels).tolist() == counts
        paths = {split: set(one.source(split).paths) for split in ("train", "val", "test")}
        assert len(set.union(*paths.values())) == 60
        assert paths["test"] == set(other.source("test").paths)
        assert paths["val"] != set(other.source("val").paths)

    def test_has_no_test_split_if_none_of_it_is_to_be_cut(self, photos):
        data = Folder(root=str(photos), test_fraction=0.0)
        assert data.num_test_images is None
        with pytest.raises(UserError, match=r"^data\.test_fraction: 0 leaves no test split of .*; set it to"):
            data.source("test")

    def test_leaves_out_what_is_no_image_of_the_users(self, photos):
        clean = Folder(root=str(photos))
        before = clean.fingerprint
        for junk in ("cat/.DS_Store", "cat/Thumbs.db", "cat/._0.png", "__MACOSX/cat/._1.png", ".thumbs/cat/2.png"):
            (photos / junk).parent.mkdir(parents=True, exist_ok=True)
            (photos / junk).write_bytes(b"junk")
        for junk in ("dog/.ipynb_checkpoints/0.png", "dog/__MACOSX/0.png", "cat/notes.txt", "readme.txt"):
            (photos / junk).parent.mkdir(parents=True, exist_ok=True)
            (photos / junk).write_bytes(b"junk")
        data = Folder(root=str(photos))
        assert data.class_names == ["cat", "dog"]
        assert data.fingerprint == before

    def test_takes_suffixes_in_capitals_and_folders_in_classes(self, photos):
        (photos / "cat/0.png").rename(photos / "cat/0.PNG")
        (photos / "cat/deep/er").mkdir(parents=True)
        (photos / "cat/1.png").rename(photos / "cat/deep/er/1.Png")
        assert sum(sizes(Folder(root=str(photos)))) == 60

    def test_ends_where_a_link_leads_back(self, photos):
        (photos / "cat/again").symlink_to(photos, target_is_directory=True)
        (photos / "cat/self").symlink_to(photos / "cat", target_is_directory=True)
        elsewhere = photos.parent / "elsewhere"
        save(elsewhere / "x.png")
        (photos / "cat/more").symlink_to(elsewhere, target_is_directory=True)
        assert sum(sizes(Folder(root=str(photos)))) == 61

    def test_is_told_before_training(self, photos):
        lines = header("data=folder", f"data.root={photos}")
        assert lines[0] == "data     48 train, 6 val, 6 test images; 2 classes; 3 x 12 x 12"
        assert lines[1] == (
            f"splits   test is cut from {photos} (data.test_fraction=0.1), val from the rest (data.val_fraction=0.1): "
            "the same share of every class"
        )


class TestTrainAlone:
    def test_has_no_test_split_and_one_line_says_so(self, split_photos):
        data = Folder(root=str(split_photos))
        assert data.num_test_images is None
        assert [len(data.source(split)) for split in ("train", "val")] == [54, 6]
        lines = header("data=folder", f"data.root={split_photos}")
        assert lines[1] == (
            f"splits   no test split in {split_photos}/train; data.test_fraction=0.1 would cut one from train"
        )

    def test_a_folder_that_others_read_as_val_is_told(self, split_photos):
        (split_photos / "valid").mkdir()
        lines = header("data=folder", f"data.root={split_photos}")
        assert lines[1] == f"unused   {split_photos}/valid is not read; rename it to val to validate on it"
        shutil.copytree(split_photos / "train", split_photos / "val")
        assert not any("unused" in line for line in header("data=folder", f"data.root={split_photos}"))

    def test_gets_one_by_the_key(self, split_photos):
        assert sizes(Folder(root=str(split_photos), test_fraction=0.2)) == [43, 5, 12]


def test_class_counts_that_differ_tenfold_are_told_with_the_key_that_helps(photos):
    for index in range(20, 170):
        save(photos / "cat" / f"{index + 20}.png")
    lines = header("data=folder", f"data.root={photos}")
    assert lines[2].startswith("network")  # 154 and 16
    for index in range(2, 20):
        (photos / "dog" / f"{index}.png").unlink()
    save(photos / "dog/3.png")
    lines = header("data=folder", f"data.root={photos}", "data.test_fraction=0.3", "data.val_fraction=0.3")
    assert lines[2] == (
        "classes  cat has 93 training images, dog 1; data.balance=oversample or loss.class_weights=balanced makes up "
        "for it"
    )
    words = ["data=folder", f"data.root={photos}", "data.test_fraction=0.3", "data.balance=oversample"]
    assert header(*words)[2].startswith("balance  each class equally often")


class TestClassChoice:
    def test_classes_are_those_named_in_their_order(self, photos):
        save(photos / "puma/0.png")
        save(photos / "puma/1.png")
        save(photos / "puma/2.png")
        data = Folder(root=str(photos), classes=["dog", "cat"])
        assert data.class_names == ["dog", "cat"]
        assert torch.bincount(data.source("train").labels).tolist() == [16, 32]
        for split in ("train", "val", "test"):
            source = data.source(split)
            for path, label in zip(source.paths, source.labels, strict=True):
                assert path.parent.name == data.class_names[label]

    def test_classes_that_are_merged_are_one(self, photos):
        for index in range(10):
            save(photos / "puma" / f"{index}.png")
        data = Folder(root=str(photos), merge={"puma": "cat"})
        assert data.class_names == ["cat", "dog"]
        assert sum(len(data.source(split)) for split in ("train", "val", "test")) == 70
        animals = Folder(root=str(photos), merge={"cat": "feline", "puma": "feline"}, classes=["dog", "feline"])
        assert animals.class_names == ["dog", "feline"]
        counts = sum(torch.bincount(animals.source(split).labels) for split in ("train", "val", "test"))
        assert counts.tolist() == [20, 50]

    def test_an_empty_class_that_is_not_wanted_does_no_harm(self, photos):
        (photos / "empty").mkdir()
        assert sum(sizes(Folder(root=str(photos), classes=["cat", "dog"]))) == 60

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"classes": ["cat", "dgo"]}, r"^data\.classes: no class 'dgo'; did you mean 'dog'\?"),
            ({"classes": ["cat", "cat"]}, r"^data\.classes: 'cat' stands there twice"),
            ({"classes": ["cat"]}, r"^data\.classes: leaves a single class \(cat\); two or more"),
            ({"merge": {"dog": "cat"}}, r"^data\.merge: leaves a single class \(cat\)"),
            ({"merge": {"cta": "dog"}}, r"^data\.merge: no class 'cta'; did you mean 'cat'"),
            (
                {"merge": {"cat": "pet"}, "classes": ["cat", "dog"]},
                r"^data\.classes: no class 'cat'; data\.merge made it",
            ),
            ({"fold": 2}, r"^data\.fold: 2 is a fold of data\.folds, which is null; set it"),
            ({"folds": 3, "fold": 3}, r"^data\.fold: there is no fold 3 of 3; the last one is 2"),
            ({"folds": 55}, r"^data\.folds: 54 images cannot be cut into 55 folds"),
        ],
    )
    def test_what_cannot_be_chosen_is_said(self, photos, keys, message):
        with pytest.raises(UserError, match=message):
            Folder(root=str(photos), **keys).source("train")

    def test_folds_are_apart_and_cover_all_but_test(self, photos):
        folds = [Folder(root=str(photos), folds=3, fold=fold) for fold in range(3)]
        vals = [set(data.source("val").paths) for data in folds]
        assert [len(val) for val in vals] == [18, 18, 18]
        assert len(set.union(*vals)) == 54
        for data, val in zip(folds, vals, strict=True):
            assert not val & set(data.source("train").paths)
            assert set(data.source("test").paths) == set(folds[0].source("test").paths)
            assert torch.bincount(data.source("val").labels).tolist() == [12, 6]

    def test_folds_and_a_val_folder_are_refused(self, split_photos):
        (split_photos / "val").mkdir()
        for name in ("cat", "dog"):
            save(split_photos / "val" / name / "x.png")
        with pytest.raises(UserError, match=r"^data\.folds: this data set has a validation split of its own"):
            Folder(root=str(split_photos), folds=3).source("train")

    def test_few_images_of_each_class_leave_val_and_test_whole(self, photos):
        data = Folder(root=str(photos), images_per_class=5)
        assert sizes(data) == [10, 6, 6]
        assert sizes(Folder(root=str(photos), fraction=0.25)) == [12, 6, 6]
        whole = Folder(root=str(photos))
        assert set(data.source("val").paths) == set(whole.source("val").paths)
        assert set(data.source("train").paths) < set(whole.source("train").paths)
        words = ["data=folder", f"data.root={photos}", "data.images_per_class=5"]
        assert header(*words)[2] == "limit    train has 10 of 48 images (data.images_per_class=5)"

    def test_only_the_few_are_decoded(self, photos, monkeypatch):
        from runner.data import source as module

        count = []
        monkeypatch.setattr(module, "decode", lambda *args: count.append(args) or decode(*args))
        cfg = runner.compose(["data=folder", f"data.root={photos}", "data.images_per_class=5", "data.test_fraction=0"])
        runner.build.training(cfg)
        assert len({path for path, *_ in count}) == 10 + 6

    def test_a_data_set_of_somebodys_own_that_gives_class_names_still_trains(self):
        class Own(runner.data.Data):
            class_names = ("a", "b")
            image_shape = (1, 2, 2)

            def read(self, split):
                labels = torch.arange(20) % 2
                return (
                    None
                    if split == "val"
                    else Images(labels.to(torch.uint8).reshape(20, 1, 1, 1).expand(20, 1, 2, 2), labels)
                )

        assert len(Own().source("train")) == 18
        with pytest.raises(UserError, match=r"^data\.classes: Own gives class_names; name them stored_classes"):
            Own(classes=["a", "b"]).source("train")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: [p.unlink() for p in (root / "dog").iterdir()], r"photos/dog holds no images"),
        (
            lambda root: [p.unlink() for p in list((root / "dog").iterdir())[1:]],
            r"^data\.root: class 'dog' has 1 image, in train alone; every class needs images in train and",
        ),
        (
            lambda root: (
                shutil.copytree(root / "cat", root / "owl")
                and [p.unlink() for name in ("cat", "dog") for p in list((root / name).iterdir())[1:]]
            ),
            r"^data\.root: class 'cat' has 1 image, in train alone \(2 classes are such\); every class needs",
        ),
        (lambda root: (root / "dog").rename(root.parent / "dog"), "single class folder"),
        (
            lambda root: (
                [path.rename(root / f"{path.parent.name}{path.name}") for path in root.glob("*/*")]
                and [folder.rmdir() for folder in (root / "cat", root / "dog")]
            ),
            r"photos has no class folders; expected .*/CLASS/\*\.jpg; data=files and data=table read images that lie",
        ),
    ],
)
def test_classes_without_enough_images_are_refused_before_training(photos, break_it, message):
    break_it(photos)
    with pytest.raises(UserError, match=message):
        Folder(root=str(photos)).source("train")


def test_a_folder_that_may_not_be_read_is_named(photos, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"^data\.root: .*photos cannot be read \(Permission denied\); see to its perm"):
        Folder(root=str(photos)).source("train")


class TestUnreadable:
    @pytest.fixture
    def broken(self, photos):
        """Two of sixty are."""
        for name in ("cat/3.png", "dog/7.png"):
            path = photos / name
            path.write_bytes(path.read_bytes()[:200])
        return photos

    @pytest.mark.parametrize("loading", ["in_memory", "workers"])
    @pytest.mark.parametrize("size", ["null", "8"])
    @pytest.mark.parametrize("seed", [0, 1, 2])  # of which split they are
    def test_all_are_named_at_once(self, broken, loading, size, seed, train):
        words = [
            "data=folder",
            f"data.root={broken}",
            "model=linear",
            f"data.loading={loading}",
            f"data.image_size={size}",
        ]
        with pytest.raises(UserError) as raised:
            train(*words, "data.test_fraction=0", "data.folds=2")
        assert str(raised.value).startswith("data.unreadable: ") or "not a readable image" in str(raised.value)
        named = [name for name in ("cat/3.png", "dog/7.png") if f"{broken}/{name}" in str(raised.value)]
        assert named if loading == "workers" else len(named) == 2
        assert "data.unreadable=skip" in str(raised.value)

    def test_more_than_ten_are_in_a_file(self, photos, tmp_path):
        for index in range(15):
            (photos / f"cat/{index}.png").write_bytes(b"no image")
        data = Folder(root=str(photos), test_fraction=0.0, cache=str(tmp_path / "cache"))
        with pytest.raises(UserError, match=r"^data\.unreadable: 15 of 60 images cannot be read: ") as raised:
            data.loaded("train", torch.device("cpu"))
        assert str(raised.value).count("no known image format") == 10
        listed = (tmp_path / "cache/unreadable.txt").read_text().splitlines()
        assert f" and 5 more, all listed in {tmp_path}/cache/unreadable.txt; " in str(raised.value)
        assert len(listed) == 15

    @pytest.mark.parametrize("loading", ["in_memory", "workers"])
    def test_the_rest_is_trained_on_and_the_run_lists_what_was_left_out(self, broken, loading, train):
        words = ["data=folder", f"data.root={broken}", "model=linear", f"data.loading={loading}", "engine.epochs=1"]
        words += ["data.unreadable=skip", "data.unreadable_limit=0.05"]
        run = train(*words)
        listed = (run.folder / "unreadable.txt").read_text().splitlines()
        assert [line.split(": ")[0] for line in listed] == [f"{broken}/cat/3.png", f"{broken}/dog/7.png"]
        assert "left out 2 of 60 images that cannot be read; unreadable.txt lists them" in header(*words)
        data = runner.build.data(runner.compose(words))
        assert sum(sizes(data)) == 58

    def test_no_more_than_the_limit_is_left_out(self, broken):
        data = Folder(root=str(broken), unreadable="skip")
        with pytest.raises(
            UserError,
            match=r"^data\.unreadable_limit: 2 of 60 images \(3\.3%\) cannot be read, and 1\.0% may be left out",
        ):
            data.source("train")

    @pytest.mark.parametrize("image_size", [None, 12])
    def test_nothing_is_left_of_a_folder_of_damaged_files(self, photos, image_size):
        for path in photos.glob("*/*.png"):
            path.write_bytes(b"no image")
        data = Folder(root=str(photos), unreadable="skip", unreadable_limit=1.0, image_size=image_size)
        with pytest.raises(UserError, match=r"^data\.root: none of the images of .*photos can be read"):
            data.source("train")

    def test_what_could_be_read_is_not_tried_again(self, broken, monkeypatch, tmp_path):
        from runner.data import source as module

        keys = {"root": str(broken), "unreadable": "skip", "unreadable_limit": 0.1, "cache": str(tmp_path / "cache")}
        sizes(Folder(**keys))
        count = []
        monkeypatch.setattr(module, "decode", lambda *args: count.append(args[0]) or decode(*args))
        assert sum(sizes(Folder(**keys))) == 58
        assert sorted(path.name for path in count) == ["3.png", "7.png"]
        save(broken / "cat/3.png")
        assert sum(sizes(Folder(**keys))) == 59

    def test_a_broken_test_image_is_found_before_training(self, photos, train):
        path = Folder(root=str(photos)).source("test").paths[0]
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(UserError, match=f"^{path}: not a readable image"):
            train("data=folder", f"data.root={photos}", "model=linear", "data.image_size=12")


class TestResize:
    WIDE = np.arange(8 * 24 * 3, dtype=np.uint8).reshape(8, 24, 3)

    @pytest.fixture
    def wide(self, tmp_path):
        Image.fromarray(self.WIDE).save(tmp_path / "wide.png")
        return tmp_path / "wide.png"

    def test_crop_shows_the_middle(self, wide):
        assert torch.equal(decode(wide, 8, 3), torch.from_numpy(self.WIDE[:, 8:16]).permute(2, 0, 1))

    def test_pad_shows_all_with_black_beside_it(self, wide):
        square = decode(wide, 24, 3, False, "pad").permute(1, 2, 0).numpy()
        assert np.array_equal(square[8:16], self.WIDE)
        assert not square[:8].any()
        assert not square[16:].any()

    def test_squish_averages_what_comes_together(self, tmp_path):
        columns = np.repeat(np.arange(8, dtype=np.uint8) * 30, 3)  # of three equal pixels each
        Image.fromarray(np.tile(columns, (8, 1))).save(tmp_path / "columns.png")
        square = decode(tmp_path / "columns.png", 8, 1, False, "squish")[0].int()
        assert (square[:, 1:-1] - torch.arange(1, 7) * 30).abs().max() <= 1
        assert square[0, 0] < 8
        assert square[0, -1] > 202

    @pytest.mark.parametrize("resize", ["squish", "pad"])
    def test_larger_pictures_to_cut_from_are_the_square(self, wide, resize):
        from runner.pictures import Packed

        square = decode(wide, 16, 3, False, resize)
        packed = Packed(decode(wide, 16, 3, True, resize)[None])
        assert (packed.height.item(), packed.width.item()) == (16, 16)
        assert torch.equal(packed.center(16)[0], square)

    @pytest.mark.parametrize(
        ("resize", "learns", "told"),
        [
            ("crop", False, "crop leaves out 67% of the pixels (of the median image, 36 x 12); data.resize=squish or"),
            ("squish", True, "squish leaves out no pixels; shapes change: long sides shrink to 33%"),
            ("pad", True, "pad leaves out no pixels; 67% of the square is black (of the median image, 36 x 12)"),
        ],
    )
    def test_classes_that_differ_at_the_margin_are_learned_where_it_is_seen(
        self, tmp_path, train, resize, learns, told
    ):
        for name, color in {"dark": 0, "light": 255}.items():
            for index in range(20):
                pixels = np.full((12, 36, 3), 100, np.uint8)  # whose middle is the same in all
                pixels[:, 18] = 110
                pixels[:, :6] = color
                path = tmp_path / "wide" / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
        words = ["data=folder", f"data.root={tmp_path}/wide", "data.image_size=12", f"data.resize={resize}"]
        run = train(*words, "model=linear", "engine.epochs=30", "optimizer.lr=1e-2", "data.batch_size=8")
        loss = run.metrics[-1]["train/loss"]
        assert loss < 0.1 if learns else loss > 0.69  # ln 2 is 0.6931: both classes look the same
        assert any(line.startswith(f"resize   {told}") for line in header(*words))

    def test_the_cache_knows_the_ways_apart_and_the_folder_by_its_content(self, photos, monkeypatch, tmp_path):
        from runner.data import source as module

        count = []
        monkeypatch.setattr(module, "decode", lambda *args: count.append(args) or decode(*args))

        def load(root, resize):
            data = Folder(root=str(root), image_size=8, resize=resize, test_fraction=0.0)
            return data.loaded("train", torch.device("cpu")).pixels

        first = load(photos, "crop")
        assert len(count) == 60
        load(photos, "pad")
        assert len(count) == 120
        photos.rename(tmp_path / "moved")
        assert torch.equal(load(tmp_path / "moved", "crop"), first)
        assert len(count) == 120


@pytest.fixture
def table(tmp_path):
    """`table(rows, names)` writes a table whose images are there, and gives its path."""

    def write(rows, names=("path", "label"), name="labels.csv"):
        for row in rows:
            if row[0] and not row[0].startswith("missing"):
                save(tmp_path / row[0])
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if name.endswith(".tsv") else ",").writerows([names, *rows])
        return str(tmp_path / name)

    return write


ROWS = [(f"{index}.png", "ill" if index % 3 == 0 else "well") for index in range(60)]


class TestTable:
    def test_columns_have_the_names_that_the_keys_say(self, table):
        path = table([(*row, index % 2) for index, row in enumerate(ROWS)], ("image", "diagnosis", "eye"))
        keys = {"path_column": "image", "label_column": "diagnosis"}
        assert sizes(Table(file=path, **keys)) == sizes(Table(file=table(ROWS, name="b.csv")))

    def test_images_of_one_group_are_in_one_split(self, table):
        rows = [(*row, f"patient {index // 4}") for index, row in enumerate(ROWS)]
        data = Table(file=table(rows, ("path", "label", "group")), test_fraction=0.2, val_fraction=0.2)
        patients = {
            split: {int(path.stem) // 4 for path in data.source(split).paths} for split in ("train", "val", "test")
        }
        assert sum(map(len, patients.values())) == len(set.union(*patients.values())) == 15
        assert "groups kept together" in dict(data.about())["splits"]
        folds = [Table(file=data.file, folds=3, fold=fold).source("val") for fold in range(3)]
        held = [{int(path.stem) // 4 for path in fold.paths} for fold in folds]
        assert sum(map(len, held)) == len(set.union(*held))

    def test_weights_decide_what_is_drawn(self, table):
        rows = [(*row, 0 if row[1] == "ill" and index else 1) for index, row in enumerate(ROWS)]
        path = table(rows, ("path", "label", "weight"))
        words = ["data=table", f"data.file={path}", "model=linear"]
        cfg = runner.compose(words)
        labels = torch.cat([labels for _, labels in runner.build.training(cfg).train.epoch()])
        assert (labels == 0).sum() <= 5  # "ill": one image of twenty has a weight, if it is in train
        assert "balance  training images are drawn with replacement, by their weights" in header(*words)
        plain = runner.build.training(runner.compose([*words, "data.weight_column=null"])).train
        assert len(torch.cat([labels for _, labels in plain.epoch()]).unique()) == 2

    def test_labels_that_are_numbers_are_in_their_order(self, table):
        data = Table(file=table([(f"{index}.png", index % 12) for index in range(120)]))
        assert data.class_names == [str(number) for number in range(12)]

    def test_semicolons_and_a_byte_order_mark_are_understood(self, table, tmp_path):
        path = table(ROWS)
        text = (tmp_path / "labels.csv").read_text().replace(",", ";")
        (tmp_path / "labels.csv").write_text("\ufeff" + text, encoding="utf-8")
        assert sum(sizes(Table(file=path))) == 60

    @pytest.mark.parametrize(
        ("rows", "names", "keys", "message"),
        [
            (ROWS, ("path", "lable"), {}, r"^data\.label_column: .* has no column 'label'; did you mean 'lable'\?"),
            (ROWS, ("file", "label"), {}, r"^data\.path_column: .* has no column 'path'"),
            (ROWS, ("path", "label"), {"group_column": "patient"}, r"^data\.group_column: .* has no column 'patient'"),
            (ROWS, ("path", "label"), {"root": "/nowhere"}, r"^data\.root: no folder /nowhere; set data\.root"),
            (
                [*ROWS, ("missing.png", "ill"), ("missing2.png", "ill")],
                ("path", "label"),
                {},
                r"^data\.file: 2 of 62 files of .* are missing, first .*missing\.png; set data\.root",
            ),
            (
                [*ROWS, ("x.png", "")],
                ("path", "label"),
                {},
                r"^data\.label_column: no label in 1 of 61 rows of .*row 61",
            ),
            ([*ROWS, ("", "ill")], ("path", "label"), {}, r"^data\.path_column: no file in 1 of 61 rows"),
            ([*ROWS, ROWS[0]], ("path", "label"), {}, r"^data\.file: .*0\.png stands in several rows of"),
            ([(path, "ill") for path, _ in ROWS], ("path", "label"), {}, r"^data\.label_column: .* has a single class"),
            ([], ("path", "label"), {}, r"^data\.file: .* has no rows; expected a first line of names"),
            ([*ROWS, ("x.png",)], ("path", "label"), {}, r"^data\.file: row 61 of .* has 1 values for 2 columns"),
            (
                [(*row, "train" if row[1] == "ill" else "test") for row in ROWS],
                ("path", "label", "split"),
                {},
                r"^data\.file: class 'well' has 40 images, in test alone; every class needs",
            ),
            (
                [(*row, "tset") for row in ROWS],
                ("path", "label", "split"),
                {},
                r"^data\.split_column: no split of train, val and test in 60 of 60 rows of .*, first row 1 \('tset'\)",
            ),
            (
                [(*row, "test") for row in ROWS],
                ("path", "label", "split"),
                {},
                r"^data\.split_column: no row of .* is of the split 'train'",
            ),
            (
                [(*row, ("train", "test")[index % 2], f"p{index // 4}") for index, row in enumerate(ROWS)],
                ("path", "label", "split", "group"),
                {},
                r"^data\.group_column: 15 groups of .* stand in two splits, first 'p0' in test and train",
            ),
            (
                [(*row, "-1") for row in ROWS],
                ("path", "label", "weight"),
                {},
                r"^data\.weight_column: no number of at least",
            ),
            (
                [(*row, "0") for row in ROWS],
                ("path", "label", "weight"),
                {},
                r"^data\.weight_column: all weights of .* are 0",
            ),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, table, rows, names, keys, message):
        with pytest.raises(UserError, match=message) as raised:
            Table(file=table(rows, names), **keys).source("train")
        assert "\n" not in str(raised.value)

    def test_a_file_that_is_no_table_is_named(self, tmp_path):
        (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x81" * 20)
        with pytest.raises(UserError, match=r"^data\.file: .*x\.csv cannot be read as a table \("):
            Table(file=str(tmp_path / "x.csv")).source("train")
        with pytest.raises(UserError, match=r"^data\.file: no file .*y\.csv; set data\.file"):
            Table(file=str(tmp_path / "y.csv")).source("train")

    def test_parquet_without_its_package_names_the_extra(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        (tmp_path / "x.parquet").touch()
        with pytest.raises(UserError, match=r"which needs pyarrow; install it by pip install 'runner\[datasets\]'"):
            Table(file=str(tmp_path / "x.parquet")).source("train")


class TestNamedFiles:
    @pytest.fixture
    def named(self, tmp_path):
        for index in range(20):
            save(tmp_path / "named" / f"great_pyrenees_{index}.png")
            save(tmp_path / "named/more" / f"pug_{index}.png")
        save(tmp_path / "named/cover.png")
        return tmp_path / "named"

    def test_classes_with_counts_and_examples_and_what_does_not_match_are_told(self, named):
        lines = header("data=files", f"data.root={named}", r"data.label_regex=^(.+)_\d+")
        assert lines[1:4] == [
            "class    great_pyrenees: 20 images (great_pyrenees_0.png, great_pyrenees_1.png, great_pyrenees_10.png)",
            "class    pug: 20 images (pug_0.png, pug_1.png, pug_10.png)",
            f"no match 1 file left out, which data.label_regex does not match; first {named}/cover.png",
        ]

    def test_an_expression_with_a_slash_sees_the_path(self, named):
        data = NamedFiles(root=str(named), label_regex=r"^(?:(\w+)/)?(?P<rest>great|pug)")
        with pytest.raises(UserError, match=r"finds a single class below .* \(more\)"):
            data.source("train")

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            (r"^(.+_\d+", r"^data\.label_regex: .* is no regular expression \(missing \)"),
            (r"^.+_\d+", r"^data\.label_regex: .* has no group; put the part that is the class in parentheses"),
            (r"^(cat)_\d+", r"^data\.label_regex: .* matches none of 41 files, such as cover\.png"),
            (r"^(pug)_\d+", r"^data\.label_regex: .* finds a single class below .* \(pug\)"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, named, pattern, message):
        with pytest.raises(UserError, match=message):
            NamedFiles(root=str(named), label_regex=pattern).source("train")

    def test_a_folder_without_images_is_said(self, tmp_path):
        with pytest.raises(UserError, match=r"^data\.root: .* holds no images"):
            NamedFiles(root=str(tmp_path), label_regex="(.)").source("train")


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
ARRAYS = {"images": PIXELS, "labels": np.arange(40) % 2}


class TestArrays:
    @pytest.fixture
    def stored(self, tmp_path):
        def write(**arrays):
            np.savez(tmp_path / "x.npz", **arrays)
            return str(tmp_path / "x.npz")

        return write

    def test_channels_may_stand_first_or_last_or_be_one(self, stored):
        assert Arrays(file=stored(**ARRAYS)).image_shape == (1, 6, 6)
        color = np.stack([PIXELS] * 3, axis=3)
        last = Arrays(file=stored(images=color, labels=ARRAYS["labels"])).source("train").pixels
        first = Arrays(file=stored(images=color.transpose(0, 3, 1, 2), labels=ARRAYS["labels"])).source("train").pixels
        assert torch.equal(first, last)
        assert first.shape[1:] == (3, 6, 6)

    def test_a_split_a_group_and_a_weight_may_be_beside_them(self, stored):
        splits = np.array(["train"] * 30 + ["test"] * 10)
        groups = np.arange(40) // 4
        data = Arrays(file=stored(**ARRAYS, split=splits, group=groups, weight=np.linspace(1, 2, 40)), val_fraction=0.3)
        assert sizes(data)[2] == 10
        held = {split: set(data.source(split).groups.tolist()) for split in ("train", "val")}
        assert not held["train"] & held["val"]
        assert data.source("test").weights.tolist() == pytest.approx(np.linspace(1, 2, 40)[30:].tolist())

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"pixels": PIXELS}, r"has no arrays 'images' and 'labels', nor .*; it has pixels"),
            ({**ARRAYS, "images": PIXELS / 255}, r"'images' of .* is of float64, and pixels must be uint8"),
            ({**ARRAYS, "labels": np.arange(39)}, r"'labels' of .* has the shape \(39,\), and 'images' has 40 images"),
            ({**ARRAYS, "labels": np.arange(40) / 2}, r"'labels' of .* is of float64; save labels as integers"),
            ({**ARRAYS, "images": PIXELS[:, 0]}, r"'images' of .* has the shape \(40, 6\); expected"),
            ({**ARRAYS, "labels": np.zeros(40, int)}, r"has a single class \(0\)"),
            ({**ARRAYS, "class_names": np.array(["a"])}, r"20 of 'labels' in .* are beyond its 1 class_names, first 1"),
            (
                {**ARRAYS, "split": np.array(["tain"] * 40)},
                r"40 entries of 'split' in .* are of no split .*first 'tain'",
            ),
            ({**ARRAYS, "weight": np.ones(3)}, r"'weight' of .* has the shape \(3,\); expected a value for each of 40"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, stored, arrays, message):
        with pytest.raises(UserError, match=r"^data\.file: .*" + message) as raised:
            Arrays(file=stored(**arrays)).source("train")
        assert "\n" not in str(raised.value)

    def test_a_file_of_another_kind_is_named(self, tmp_path):
        (tmp_path / "x.npz").write_bytes(b"no archive")
        with pytest.raises(UserError, match=r"^data\.file: .* cannot be read as an \.npz file \("):
            Arrays(file=str(tmp_path / "x.npz")).source("train")
        np.save(tmp_path / "x.npy", PIXELS)
        with pytest.raises(UserError, match=r"it holds a single array"):
            Arrays(file=str(tmp_path / "x.npy")).source("train")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"name": "Flowers_102"},
            r"^data\.name: torchvision has no data set 'Flowers_102'; did you mean 'Flowers102'\?",
        ),
        ({"name": "DTD"}, r"^data\.root: DTD cannot be read from .*; put its files there, or have torchvision do it"),
        ({"name": "CocoDetection"}, r"^data\.options: CocoDetection needs other arguments"),
        (
            {"name": "DTD", "options": {"partitoin": 2}},
            r"^data\.options: DTD has no argument 'partitoin'; did you mean 'par",
        ),
    ],
)
def test_a_data_set_of_torchvisions_that_cannot_be_had_is_said(tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        runner.data.Torchvision(root=str(tmp_path), **keys).source("train")


class TestTorchvision:
    def test_a_val_split_under_another_name_is_taken(self, tmp_path):
        for split in ("train", "valid", "test"):
            for name in ("AD", "AE"):
                for index in range(4):
                    save(tmp_path / "country211" / split / name / f"{split}{index}.png")
        data = runner.data.Torchvision(name="Country211", root=str(tmp_path))
        assert data.class_names == ["AD", "AE"]
        assert sizes(data) == [8, 8, 8]
        assert not data.is_cut

    @staticmethod
    def write_mnist(folder, letters=False):
        """Random digits in the published format."""
        folder.mkdir(parents=True)
        stems = {"train": 30, "t10k": 10}
        if letters:
            stems = {"emnist-letters-train": 60, "emnist-letters-test": 30}
        for stem, count in stems.items():
            numbers = np.random.default_rng(count)
            pixels = numbers.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = (np.arange(count) % 3 + letters).astype(np.uint8)
            shape = b"".join(size.to_bytes(4, "big") for size in pixels.shape)
            (folder / f"{stem}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + shape + pixels.tobytes())
            (folder / f"{stem}-labels-idx1-ubyte").write_bytes(
                b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels.tobytes()
            )

    def test_mnist_is_the_same_as_by_its_own_word(self, tmp_path):
        self.write_mnist(tmp_path / "MNIST/raw")
        chosen = {"classes": [0, 1, 2]}
        digits = runner.data.MNIST(root=str(tmp_path), **chosen)
        names = ["0 - zero", "1 - one", "2 - two"]
        data = runner.data.Torchvision(name="MNIST", root=str(tmp_path), classes=names)
        for split in ("train", "val", "test"):
            own = data.source(split)
            assert torch.equal(own.read(range(len(own))), digits.source(split).pixels)
            assert torch.equal(own.labels, digits.source(split).labels)
        assert digits.num_test_images == 10

    @pytest.mark.parametrize(
        ("named", "names"),
        [
            ({"classes": ["cat", "dog"], "class_to_idx": {"b": 0, "a": 1}}, ["cat", "dog"]),
            ({"categories": [("wild", "cat"), ("house", "dog")]}, ["wild cat", "house dog"]),
            ({"class_to_idx": {"dog": 1, "cat": 0}}, ["cat", "dog"]),
            ({}, ["0", "1"]),
        ],
    )
    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
    def test_classes_are_named_and_channels_counted_as_the_data_set_has_them(
        self, monkeypatch, named, names, mode, channels
    ):
        class Stored:
            def __init__(self, root):
                vars(self).update(named)

            def __len__(self):
                return 40

            def __getitem__(self, at):
                if at >= 40:
                    raise IndexError
                return Image.new(mode, (6, 6)), at % 2

        monkeypatch.setattr("torchvision.datasets.FakeData", Stored)
        data = runner.data.Torchvision(name="FakeData")
        assert data.class_names == names
        assert data.image_shape == (channels, 6, 6)
        assert data.is_cut
        assert sorted(data.source("train").labels.unique().tolist()) == [0, 1]
        assert runner.data.Torchvision(name="FakeData", in_channels=3).image_shape == (3, 6, 6)

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            ((Image.new("L", (6, 6)), [0, 1]), "FakeData does not have a class for each image"),
            ((Image.new("L", (6, 6)), torch.tensor([0, 1])), "FakeData does not have a class for each image"),
            ((Image.new("L", (6, 6)), 0, 1), "FakeData is no data set of images with a class each"),
            ((torch.zeros(1, 6, 6), 0), "FakeData is no data set of images with a class each"),
        ],
    )
    def test_a_data_set_of_something_else_is_refused(self, monkeypatch, item, message):
        class Stored(list):
            def __init__(self, root):
                super().__init__([item])

        monkeypatch.setattr("torchvision.datasets.FakeData", Stored)
        with pytest.raises(UserError, match=rf"^data\.name: {message}"):
            runner.data.Torchvision(name="FakeData").source("train")

    def test_a_class_that_hands_arguments_on_takes_those_too(self, tmp_path):
        self.write_mnist(tmp_path / "EMNIST/raw", letters=True)
        words = {"name": "EMNIST", "root": str(tmp_path), "classes": ["a", "b", "c"]}
        data = runner.data.Torchvision(**words, options={"split": "letters"})
        assert sizes(data) == [54, 6, 30]
        with pytest.raises(UserError, match=r"^data\.options: EMNIST needs other arguments \(.*split"):
            runner.data.Torchvision(**words).source("train")


class TestHuggingFace:
    def test_without_the_package_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(
            UserError, match=r"^data: data=huggingface needs .*; install it by pip install 'runner\[datase"
        ):
            hub.HuggingFace(name="pets").source("train")

    @pytest.fixture
    def pets(self, tmp_path):
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        images = [Image.fromarray(one) for one in PIXELS]
        content = {"photo": images, "kind": ["cat", "dog"] * 20, "size": list(range(40))}
        features = datasets.Features(
            {"photo": datasets.Image(), "kind": datasets.Value("string"), "size": datasets.Value("int64")}
        )
        datasets.Dataset.from_dict(content, features=features).save_to_disk(tmp_path / "pets")
        return str(tmp_path / "pets")

    def test_labels_may_be_text_and_splits_may_lack(self, pets):
        data = hub.HuggingFace(name=pets, label_column="kind")
        assert data.class_names == ["cat", "dog"]
        assert data.image_shape == (1, 6, 6)
        assert sizes(data) == [32, 4, 4]

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({}, r"^data\.label_column: .* has no column of ClassLabel; name one of photo, kind, size"),
            ({"label_column": "knid"}, r"^data\.label_column: .* has no column 'knid'; did you mean 'kind'\?"),
            ({"label_column": "kind", "image_column": "size"}, r"^data\.image_column: column 'size' holds no images"),
            ({"label_column": "kind", "test_split": "tset"}, r"^data\.test_split: .* has no split 'tset'"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, pets, keys, message):
        with pytest.raises(UserError, match=message):
            hub.HuggingFace(name=pets, **keys).source("train")


@pytest.mark.parametrize("num_labels", [3, 4])
def test_labels_of_torchvisions_are_taken_from_its_list_where_that_has_one_for_each_image(num_labels):
    class Stored(list):
        labels = [7, 8, 9, 9][:num_labels]

    read = []

    class Item(tuple):
        def __getitem__(self, at):
            read.append(at)
            return super().__getitem__(at)

    found = _labels_of(Stored([Item((None, label)) for label in (7, 8, 9)]))
    assert found == [7, 8, 9]
    assert len(read) == (1 if num_labels == 3 else 3)  # one image is looked at, or each
