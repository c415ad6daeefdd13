"""Features on the disk: what is kept, and what goes when there are too many."""

import os

import pytest
import torch

from runner.transfer import feature_files as module


@pytest.fixture
def files(tmp_path, monkeypatch):
    """`files(3)`: so many files of the same size in one folder, the first one used the longest ago."""

    def write(count):
        made = []
        for number in range(count):
            file = tmp_path / f"{number:032x}.pt"
            module.write(file, torch.full((4, 2), float(number)), torch.arange(4))
            os.utime(file, (1000 + number, 1000 + number))
            made.append(file)
        return made

    return write


@pytest.mark.parametrize(
    ("room", "left"), [(10, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (3, [1, 2, 3]), (2, [2, 3]), (0, [3])]
)
def test_the_least_recently_used_go_until_the_others_have_room_and_the_newest_stays(files, monkeypatch, room, left):
    made = files(4)
    other = made[0].with_name("notes.txt")
    other.write_bytes(b"x" * 10**6)
    monkeypatch.setattr(module, "LIMIT_BYTES", room * made[0].stat().st_size)
    module._remove_oldest(made[0].parent)
    assert [number for number, file in enumerate(made) if file.exists()] == left
    assert other.exists()


def test_what_is_read_has_been_used(files):
    first, second = files(2)
    values, labels = module.read(first)
    assert torch.equal(values, torch.zeros(4, 2))
    assert torch.equal(labels, torch.arange(4))
    assert first.stat().st_mtime > second.stat().st_mtime


def test_a_damaged_file_or_none_is_nothing(tmp_path):
    assert module.read(tmp_path / "none.pt") is None
    (tmp_path / "damaged.pt").write_bytes(b"x")
    assert module.read(tmp_path / "damaged.pt") is None
    torch.save({"values": 1}, tmp_path / "other.pt")
    assert module.read(tmp_path / "other.pt") is None


def test_a_file_is_named_by_all_facts_in_their_order(tmp_path):
    names = {module.path(str(tmp_path), facts).name for facts in (["a", "b"], ["b", "a"], ["a"], ["ab"])}
    assert len(names) == 4
    assert all(module.NAME.fullmatch(name) for name in names)
    assert module.path(str(tmp_path), ["a"]).parent == tmp_path / "runner-features"
