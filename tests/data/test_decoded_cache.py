"""The cache of decoded images: used where nothing changed, and only there."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.data import decoded_cache as decoded
from runner.data import source
from runner.data.source import Mapped, load
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
    for time, number in enumerate((3, 0, 2, 1)):
        decoded.read_or_decode(tmp_path, f"{number:032x}", (1000,), lambda fresh: fresh.zero_())
        os.utime(own / f"{number:032x}.npy", (time, time))
    assert {path.name for path in own.iterdir()} == {"CACHEDIR.TAG", f"{2:032x}.npy", f"{1:032x}.npy"}


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


def test_the_newest_notes_stay_and_nothing_else_is_taken_for_one(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "MAX_NOTES", 2)
    decoded.read_or_decode(tmp_path, f"{1:032x}", (10,), lambda fresh: fresh.zero_())
    own = tmp_path / "runner-decoded"
    for number in range(4):
        (own / f"{number:032x}.json").write_text("{}")
        os.utime(own / f"{number:032x}.json", (number, number))
    others = [own / "mine.json", own / f"{1:032x}.npy", own / "CACHEDIR.TAG"]
    others[0].write_text("{}")
    for path in others:
        os.utime(path, (0, 0))
    (own / f"{9:032x}.json").symlink_to(others[0])
    decoded.read_or_decode(tmp_path, f"{2:032x}", (10,), lambda fresh: fresh.zero_())
    assert {path.name for path in own.glob("*.json")} == {f"{n:032x}.json" for n in (2, 3, 9)} | {"mine.json"}
    assert all(path.exists() for path in others)


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

    monkeypatch.setattr(decoded, "sync", fill)  # after all of it was handed to the system
    pixels = decoded.read_or_decode(tmp_path, "name", (4,), lambda fresh: fresh.fill_(7))
    assert pixels.tolist() == [7] * 4
    assert [path.name for path in (tmp_path / "runner-decoded").iterdir()] == ["CACHEDIR.TAG"]


def workers(photos, *words):
    words = ["data=folder", f"data.root={photos}", "data.loading=workers", "data.num_workers=1", *words]
    return runner.build.data(runner.compose(words))


def all_of(data, split="train"):
    source = data.loaded(split, torch.device("cpu"))
    return source.read(range(len(source)))


def test_workers_read_the_decoded_file_and_the_second_start_decodes_nothing(photos, num_decoded):
    expected = pixels(photos, "data.cache=null")[0]
    before = num_decoded()
    data = workers(photos)
    assert isinstance(data.loaded("train", torch.device("cpu")), Mapped)
    assert torch.equal(all_of(data), expected)
    assert num_decoded() - before == 12, "each once, val with train, from which it is cut"
    before = num_decoded()
    assert torch.equal(all_of(workers(photos)), expected)
    assert torch.equal(pixels(photos)[0], expected), "from the same file"
    assert num_decoded() == before


@pytest.mark.parametrize("what", ["no room", "no cache", "not writable"])
def test_workers_decode_where_there_is_no_decoded_file(photos, num_decoded, monkeypatch, tmp_path, what):
    expected = pixels(photos, "data.cache=null")[0]
    if what == "no room":
        monkeypatch.setattr(decoded, "LIMIT_BYTES", 2 * 12 * 3 * 8 * 8 - 2)  # a byte less than 12 images of 8 x 8
    if what == "not writable":
        (tmp_path / "cache").write_text("a file")
    cache = {"no cache": ["data.cache=null"], "not writable": [f"data.cache={tmp_path}/cache/in"]}.get(what, [])
    data = workers(photos, *cache)
    assert isinstance(data.loaded("train", torch.device("cpu")), source.Files)
    assert torch.equal(all_of(data), expected)


def test_images_are_decoded_to_the_disk_some_at_a_time_and_all_that_fail_are_named(photos, monkeypatch):
    monkeypatch.setattr(source, "ON_THE_WAY", 5)
    assert torch.equal(all_of(workers(photos)), pixels(photos, "data.cache=null")[0])
    broken = [photos / "train/cat/1.png", photos / "train/dog/5.png"]
    for path in broken:
        path.write_bytes(b"rubbish")
    with pytest.raises(UserError) as error:
        all_of(workers(photos))
    assert all(str(path) in str(error.value) for path in broken)
    assert "2 of" in str(error.value)


def test_a_decoded_file_is_mapped_anew_by_another_process_and_its_loss_is_one_line(photos):
    mapped = workers(photos).loaded("val", torch.device("cpu"))
    other = pickle.loads(pickle.dumps(mapped))
    assert len(pickle.dumps(mapped)) < 5000, "not the pixels"
    assert torch.equal(other.read([0]), mapped.read([0]))
    part = mapped.subset(torch.tensor([1]))
    assert torch.equal(part.read([0]), mapped.read([1]))
    assert part.labels.tolist() == mapped.labels[[1]].tolist()
    content = pickle.dumps(mapped)
    mapped.file.unlink()
    with pytest.raises(UserError, match=r"data\.cache: .* is no longer there"):
        pickle.loads(content)
