"""Folders get numbers that are their own, and are found by what one remembers of them."""

import errno
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.store import names
from runner.store.names import _take, find_folder, make_folder


def make_several(root):
    return [make_folder(root, "digits", [f"seed={os.getpid()}", str(number)]).name for number in range(10)]


def test_numbers_are_unique_when_many_processes_start_at_once(tmp_path):
    with ProcessPoolExecutor(10, get_context("forkserver")) as pool:
        names = [name for some in pool.map(make_several, [tmp_path] * 10) for name in some]
    assert len(names) == 100
    assert len({name[:4] for name in names}) == 100
    assert {path.name for path in (tmp_path / "digits").iterdir()} == set(names)


def test_numbers_go_on_from_the_highest_and_a_claim_of_a_killed_process_is_passed_over(tmp_path):
    assert make_folder(tmp_path, "a").name == "0001"
    assert make_folder(tmp_path, "a", ["sgd", "lr=0.1"]).name == "0002-sgd-lr=0.1"
    (tmp_path / "a/.0003").mkdir()
    (tmp_path / "a/2026-01-01_00-00-00-000000-4711").mkdir()  # of an earlier version
    assert make_folder(tmp_path, "a").name == "0004"
    (tmp_path / "b/0041-x").mkdir(parents=True)
    assert make_folder(tmp_path, "b").name == "0042"


def test_a_number_is_taken_once_and_not_where_a_folder_has_it(tmp_path):
    (tmp_path / "0002-sgd").mkdir()
    assert [_take(tmp_path, number) for number in (1, 1, 2, 3)] == [True, False, False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".0001", ".0003", "0002-sgd"]


def test_who_comes_second_takes_the_next_number(tmp_path, monkeypatch):
    (tmp_path / "a/.0001").mkdir(parents=True)  # of another process, since the folder was looked at
    looked, numbers = [], names._numbers
    monkeypatch.setattr(names, "_numbers", lambda parent: numbers(parent) if looked else looked.append(parent) or [])
    assert make_folder(tmp_path, "a").name == "0002"


def test_a_name_is_never_longer_than_eighty_characters_and_ends_well(tmp_path):
    name = make_folder(tmp_path, "a", ["x" * 20, "y" * 20, "z" * 20, "w" * 10, "v=0.1"]).name
    assert len(name) <= 80
    assert name.endswith("v")


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "outputs"
    for name, said in (("digits", ["sgd"]), ("digits", ["adam"]), ("photos", ["adam", "seed=2"])):
        (make_folder(root, name, said) / "environment.json").write_text("{}")
        time.sleep(0.01)
    return root


@pytest.mark.parametrize(
    ("word", "folder"),
    [
        ("last", "photos/0001-adam-seed=2"),
        ("2", "digits/0002-adam"),
        ("0002", "digits/0002-adam"),
        ("digits/1", "digits/0001-sgd"),
        ("sgd", "digits/0001-sgd"),
        ("seed=2", "photos/0001-adam-seed=2"),
        ("photos", "photos/0001-adam-seed=2"),
        ("digits/0002-adam", "digits/0002-adam"),
        ("outputs/digits/0001-sgd", "digits/0001-sgd"),
        ("outputs", "."),
    ],
)
def test_a_folder_is_found_by_a_path_a_number_or_a_part_of_its_name(outputs, word, folder):
    assert find_folder(word).resolve() == (outputs / folder).resolve()


def test_the_last_one_is_the_one_that_was_begun_last(outputs):
    for folder, moment in (("digits/0002-adam", 3000), ("digits/0001-sgd", 2000), ("photos/0001-adam-seed=2", 1000)):
        os.utime(outputs / folder / "environment.json", (moment, moment))
    assert find_folder("last").resolve() == (outputs / "digits/0002-adam").resolve()


def test_a_word_that_fits_several_folders_names_them(outputs):
    with pytest.raises(
        UserError, match=r"^1: names several folders: outputs/digits/0001-sgd, outputs/photos/0001-adam"
    ):
        find_folder("1")
    with pytest.raises(UserError, match=r"^adam: names several folders"):
        find_folder("adam")


def test_a_word_that_fits_none_is_given_back(outputs):
    assert str(find_folder("nonesuch")) == "nonesuch"


@pytest.mark.parametrize(("number", "rest"), [(8, ";"), (11, " and 3 more;")])
def test_of_many_folders_with_a_name_the_first_eight_are_told(outputs, number, rest):
    for _ in range(number):
        (make_folder(outputs, "many", ["rmsprop"]) / "environment.json").write_text("{}")
    with pytest.raises(UserError) as told:
        find_folder("rmsprop")
    assert str(told.value).count("outputs/many/") == 8
    assert f"0008-rmsprop{rest}" in str(told.value)


def test_a_name_of_a_folder_has_at_most_eighty_characters(tmp_path):
    assert make_folder(tmp_path, "it", ["x" * 200]).name == "0001-" + 75 * "x"


@pytest.mark.parametrize(("number", "raised"), [(errno.ENOSPC, OSError), (errno.EROFS, UserError)])
def test_a_folder_that_cannot_be_made_is_told_and_a_full_disk_is_itself(tmp_path, monkeypatch, number, raised):
    def fail(path, **_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(raised) as caught:
        make_folder(tmp_path, "a")
    if raised is UserError:
        assert str(caught.value).startswith(f"output_dir: {tmp_path}/a cannot be made (")
        assert str(caught.value).endswith("; name another folder")


def test_a_folder_in_which_nothing_can_be_made_is_told(tmp_path, monkeypatch):
    def fail(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(UserError, match=rf"^output_dir: {tmp_path} cannot be written \(.*\); name another folder$"):
        _take(tmp_path, 1)
