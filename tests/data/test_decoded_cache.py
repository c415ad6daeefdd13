"""The cache of decoded images: used where nothing changed, and only there."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.data import decoded_cache as decoded
from runner.data import source
from runner.data.source import load
from runner.errors import UserError


@pytest.fixture
def photos(tmp_path):
    numbers = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(6):
                picture = Image.fromarray(numbers.integers(0, 255, (9, 9, 3), dtype=np.uint8))
                picture.save(folder / f"{index}.png", compress_level=0)  # of one size, whatever they show
    return tmp_path / "photos"


@pytest.fixture
def num_decoded(monkeypatch):
    """How many files have been decoded so far."""
    count = []
    true_decode = source.decode

    def decode(*args):
        count.append(args)
        return true_decode(*args)

    monkeypatch.setattr(source, "decode", decode)
    return lambda: len(count)


def pixels(photos, *words):
    data = runner.build.data(runner.compose(["data=folder", f"data.root={photos}", *words]))
    return load(data.source("train")).pixels, load(data.source("val")).pixels


def test_the_second_start_decodes_nothing_and_has_the_same_pixels(photos, num_decoded):
    first = pixels(photos)
    before = num_decoded()
    second = pixels(photos)
    assert before == 12
    assert num_decoded() == before
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    fresh = pixels(photos, "data.cache=null")
    assert all(torch.equal(a, b) for a, b in zip(first, fresh, strict=True))


def test_another_split_of_the_same_files_uses_the_same_cache(photos, num_decoded):
    pixels(photos)
    before = num_decoded()
    pixels(photos, "data.val_fraction=0.5")
    assert num_decoded() == before


@pytest.mark.parametrize("change", ["content", "content alone", "file", "size"])
def test_what_changed_is_decoded_again(photos, num_decoded, change):
    before = pixels(photos)
    path = photos / "train/cat/0.png"
    if change == "content":
        stamp = path.stat().st_mtime_ns
        Image.new("RGB", (9, 9)).save(path)
        os.utime(path, ns=(stamp + 1, stamp + 1))
    elif change == "content alone":  # as `cp -p` and rsync leave it: same size, same time
        about = path.stat()
        Image.new("RGB", (9, 9)).save(path, compress_level=0)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    elif change == "file":
        path.rename(path.with_name("9.png"))
    count = num_decoded()
    after = pixels(photos, *(["data.image_size=7"] if change == "size" else []))
    assert num_decoded() == count + 12
    if change.startswith("content"):
        assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


DAMAGES = {
    "nothing left": lambda whole: b"",
    "cut in its header": lambda whole: whole[:100],
    "cut in its pixels": lambda whole: whole[:-100],
    "looks like an archive": lambda whole: b"PK\x03\x04" + whole,
    "a header that never ends": lambda whole: whole.replace(b"}", b"(", 1),
    "another array": lambda whole: whole.replace(b"(12, 3, 9, 9)", b"(12, 9, 3, 9)", 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_again(photos, num_decoded, damage):
    first = pixels(photos)
    (path,) = Path(os.environ["XDG_CACHE_HOME"]).glob("runner/runner-decoded/*.npy")
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert path.read_bytes() != whole
    assert all(torch.equal(a, b) for a, b in zip(first, pixels(photos), strict=True))
    assert num_decoded() == 24
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_the_decoding_alone(photos, tmp_path):
    (tmp_path / "file").touch()
    assert len(pixels(photos, f"data.cache={tmp_path}/file/below")[0]) == 10


def test_a_cache_that_can_only_be_read_is_used(photos, num_decoded, monkeypatch):
    first = pixels(photos)
    before = num_decoded()

    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)  # as for a file of another user
    assert all(torch.equal(a, b) for a, b in zip(first, pixels(photos), strict=True))
    assert num_decoded() == before


def test_a_user_without_a_home_has_no_cache_unless_it_is_elsewhere(photos, monkeypatch, tmp_path):
    def homeless(path):
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert len(pixels(photos)[0]) == 10
    pixels(photos, f"data.cache={tmp_path}/here")
    assert list(tmp_path.glob("here/runner-decoded/*.npy"))
    with pytest.raises(UserError, match=r"^data\.cache: no home for the ~ of ~/photos; give the folder's whole path"):
        pixels(photos, "data.cache='~/photos'")


def test_the_least_recently_used_files_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "LIMIT_BYTES", 3000)
    own = tmp_path / "runner-decoded"
    for number in range(4):
        decoded.read_or_decode(tmp_path, f"{number:032x}", (1000,), lambda fresh: fresh.zero_())
        os.utime(own / f"{number:032x}.npy", (number, number))
    assert {path.name for path in own.iterdir()} == {"CACHEDIR.TAG", f"{2:032x}.npy", f"{3:032x}.npy"}


def test_files_of_others_are_never_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "LIMIT_BYTES", 0)
    foreign = [tmp_path / "mine.npy", tmp_path / f"{7:032x}.npy", tmp_path / "runner-decoded/mine.npy"]
    (tmp_path / "runner-decoded").mkdir()
    for path in foreign:
        np.save(path, np.zeros(1000))
    decoded.read_or_decode(tmp_path, f"{1:032x}", (1000,), lambda fresh: fresh.zero_())
    decoded.read_or_decode(tmp_path, f"{2:032x}", (1000,), lambda fresh: fresh.zero_())
    assert all(path.exists() for path in foreign)
    assert not (tmp_path / f"runner-decoded/{1:032x}.npy").exists()


def test_a_folder_whose_tag_is_not_ours_is_not_cleaned(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "LIMIT_BYTES", 0)
    (tmp_path / "runner-decoded").mkdir()
    (tmp_path / "runner-decoded/CACHEDIR.TAG").write_text("of another program")
    for number in range(3):
        decoded.read_or_decode(tmp_path, f"{number:032x}", (1000,), lambda fresh: fresh.zero_())
    assert len(list(tmp_path.glob("runner-decoded/*.npy"))) == 3


def test_a_disk_that_fills_up_keeps_nothing_half_written(tmp_path, monkeypatch):
    def fill(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", fill)
    pixels = decoded.read_or_decode(tmp_path, "name", (4,), lambda fresh: fresh.fill_(7))
    assert pixels.tolist() == [7] * 4
    assert [path.name for path in (tmp_path / "runner-decoded").iterdir()] == ["CACHEDIR.TAG"]
