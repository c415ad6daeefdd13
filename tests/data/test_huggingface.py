"""Splits and columns of a data set of the Hub, as its library has them."""

import sys
from types import SimpleNamespace

import pytest

from runner.data import huggingface as module
from runner.errors import UserError


class Rows(dict):
    """Stands for a split: columns of values, with the kind of each."""

    def __init__(self, kinds, **columns):
        super().__init__(columns)
        self.features = kinds

    def __len__(self):
        return len(next(iter(self.values())))


class Image:
    pass


class Value:
    pass


class ClassLabel:
    names = ("cat", "dog")


KINDS = {"photo": Image(), "kind": ClassLabel(), "word": Value()}


def rows(kinds=KINDS, labels=(0, 1, 1), words=("x", "y", "x")):
    return Rows(kinds, photo=["a", "b", "c"], kind=list(labels), word=list(words))


def data(splits, **keys):
    made = module.HuggingFace(name="pets", **keys)
    made._splits = splits
    return made


@pytest.fixture(autouse=True)
def _columns_as_they_are(monkeypatch):
    monkeypatch.setattr(module, "_encoded", lambda rows, column: rows[column])


@pytest.mark.parametrize(
    ("names", "keys", "found"),
    [
        (["train", "validation", "test"], {}, ["train", "validation", "test"]),
        (["train", "dev"], {}, ["train", "dev", None]),
        (["train", "val", "valid"], {}, ["train", "valid", None]),
        (["train", "test"], {"val_split": "test"}, ["train", "test", None]),
        (["all", "test"], {"split": "all", "test_split": "test"}, ["all", None, "test"]),
        (["test"], {"split": "test"}, ["test", None, None]),
    ],
)
def test_splits_are_those_of_the_usual_names_or_those_that_are_said(names, keys, found):
    made = data(dict.fromkeys(names, rows()), **keys)
    assert [made._name_of(split) for split in ("train", "val", "test")] == found
    assert made.is_cut is (found[1:] == [None, None])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"split": "trian"}, "data.split: pets has no split 'trian'; did you mean 'train'?"),
        ({"val_split": "vla"}, "data.val_split: pets has no split 'vla'; did you mean 'val'?"),
        ({"label_column": "kidn"}, "data.label_column: pets has no column 'kidn'; did you mean 'kind'?"),
        ({"image_column": "none"}, "data.image_column: pets has no column 'none'"),
    ],
)
def test_a_split_or_a_column_that_is_not_there_is_named_with_the_nearest(keys, said):
    made = data({"train": rows(), "val": rows()}, **keys)
    with pytest.raises(UserError) as raised:
        _ = [made.list_images(split) for split in ("train", "val")], made._image_column, made.stored_classes
    assert str(raised.value).startswith(said)


def test_without_a_column_of_that_kind_those_that_are_there_are_named():
    made = data({"train": rows({"a": Value(), "b": Value()})})
    for key, kind in (("image_column", "Image"), ("label_column", "ClassLabel")):
        with pytest.raises(UserError, match=rf"^data\.{key}: pets has no column of {kind}; name one of a, b$"):
            getattr(made, f"_{key}")
    for name in ("label", "labels"):
        assert data({"train": rows({"a": Value(), name: Value()})})._label_column == name


def test_labels_are_numbers_of_classes_that_have_names_or_words_in_their_order():
    made = data({"train": rows()})
    assert made.stored_classes == ["cat", "dog"]
    listing = made.list_images("train")
    assert list(listing.labels) == [0, 1, 1]
    assert [str(entry) for entry in listing.items] == ["pets/train[0]", "pets/train[1]", "pets/train[2]"]
    assert made.list_images("val") is None
    words = data({"train": rows(), "test": rows(words="xxz")}, label_column="word")
    assert words.stored_classes == ["x", "y", "z"], "of all splits"
    assert list(words.list_images("test").labels) == [0, 0, 2]
    assert words.place == "pets (train)"


def test_a_single_class_is_none():
    with pytest.raises(UserError, match=r"^data\.label_column: pets has a single class; two or more are needed$"):
        _ = data({"train": rows(words="xxx")}, label_column="word").stored_classes


@pytest.mark.parametrize("labels", [(0, -1, None), (None, None, 1)])
def test_images_without_a_label_are_counted(labels):
    with pytest.raises(UserError, match=r"^data\.label_column: 2 of 3 images of pets \(train\) have no label; choose"):
        data({"train": rows(labels=labels)}).list_images("train")


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("RGB", 3), ("P", 3), (None, 3)])
def test_channels_are_those_of_the_first_image_where_it_can_be_read(mode, channels):
    class Picture(SimpleNamespace):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def opened():
        if mode is None:
            raise OSError("damaged")
        return Picture(mode=mode)

    made = data({})
    made._listed = lambda split: SimpleNamespace(items=[SimpleNamespace(open=opened), None])
    assert made.channels == channels
    made.in_channels = 1
    assert made.channels == 1


@pytest.mark.parametrize(
    ("files", "loader"), [(["state.json"], "disk"), (["dataset_dict.json"], "disk"), ([], "folder"), (None, "name")]
)
def test_a_data_set_is_read_from_the_disk_or_by_its_name(monkeypatch, tmp_path, files, loader):
    name = "pets" if files is None else str(tmp_path)
    for file in files or []:
        (tmp_path / file).touch()
    asked = []
    library = SimpleNamespace(
        load_from_disk=lambda path: asked.append(("disk", path)) or "rows",
        load_dataset=lambda *given: asked.append(given) or {"train": "rows"},
    )
    monkeypatch.setitem(sys.modules, "datasets", library)
    made = module.HuggingFace(name=name, config_name="small", split="train")
    assert made._splits == {"train": "rows"}
    assert asked == [("disk", name) if loader == "disk" else (name, "small")]


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError("no network\nand more"), "no network"), (KeyError(), "KeyError")]
)
def test_a_data_set_that_cannot_be_had_is_told_in_a_line(monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=fail))
    with pytest.raises(UserError) as raised:
        _ = module.HuggingFace(name="pets")._splits
    assert str(raised.value) == (
        f"data.name: pets cannot be loaded ({reason}); give the name of a data set on the Hub, or a folder that "
        "save_to_disk wrote"
    )
