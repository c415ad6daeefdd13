"""Configs of stored runs: what identifies one, what may change, and where configs come from."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import runner
from runner.config import add_user_folder, checking, choices, compose_with_choices, flatten, user_folders
from runner.config.stored import check_stored_words, identity, is_free, settle, with_overrides, with_paths_found
from runner.config_folders import folder, group_descriptions, search_path_override
from runner.errors import UserError


@pytest.mark.parametrize(
    ("key", "free"),
    [
        ("engine.epochs", True),
        ("name", True),
        ("log", True),
        ("log.every_steps", True),
        ("data.root", True),
        ("engine.precision", False),
        ("engine.epochs_more", False),
        ("logs.every", False),
        ("names", False),
        ("seed", False),
        ("tta._target_", False),
    ],
)
def test_what_decides_how_a_run_trains_may_not_change(key, free):
    assert is_free(key) == free


def test_the_identity_of_a_run_is_all_that_may_not_change():
    one, other = runner.compose(["optimizer.lr=0.5"]), runner.compose(["optimizer.lr=0.5", "engine.epochs=7", "name=x"])
    assert identity(one) == identity(other)
    assert identity(one)["optimizer.lr"] == 0.5
    assert "engine.epochs" not in identity(one)
    assert identity(one) != identity(runner.compose(["optimizer.lr=0.25"]))


@pytest.fixture(scope="module")
def linear():
    return runner.compose(["model=linear"])


@pytest.fixture
def changed(linear):
    """`changed(["seed=3"])`: a stored config with these overrides."""
    return lambda words, for_="resume": with_overrides(linear, words, for_)


def test_free_keys_change_and_the_stored_config_stays(linear, changed):
    found = changed(["engine.epochs=7", "log.every_steps=3"])
    assert (found.engine.epochs, found.log.every_steps) == (7, 3)
    assert linear.engine.epochs != 7


def test_a_test_may_have_another_test_time_augmentation_with_its_keys(changed):
    found = changed(["tta=flip", "data.eval_batch_size=7"], "test")
    assert (found.tta._target_, found.data.eval_batch_size) == ("runner.tta.Flip", 7)
    assert changed(["tta=multi_scale"], "test").tta._target_ == "runner.tta.MultiScale"


@pytest.mark.parametrize(
    ("word", "for_", "message"),
    [
        ("seed=3", "resume", "seed: cannot change in resume of a stored run; start a new run with runner train"),
        ("seed=3", "test", "seed: cannot change in test of a stored run; it was trained with that setting"),
        ("tta=flip", "resume", "tta: no such key in this run's config"),
        ("tta._target_=x", "resume", "tta._target_: cannot change in resume of a stored run"),
        ("engine.epoch=3", "resume", "engine.epoch: no such key in this run's config; did you mean 'engine.epochs'?"),
        ("tta=flop", "test", "tta=flop: no such option; did you mean 'flip'?"),
    ],
)
def test_what_would_make_it_another_run_is_refused(changed, word, for_, message):
    with pytest.raises(UserError) as error:
        changed([word], for_)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "words", [["optimizer.lr=0.1", "+a.b=1", "reg=[l2]", "optimizer=adam,sgd", "hydrant=1", "jobs=2"], []]
)
def test_overrides_that_set_keys_may_be_stored(words):
    check_stored_words(words, Path("sweep.json"))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.run.dir=x", "sweep.json: hydra.run.dir=x is no override of a sweep; pass --trust"),
        ("hydra/launcher=joblib", "is no override of a sweep"),
        ("+hydra.searchpath=[x]", "is no override of a sweep"),
        ("job.trust=true", "is no override of a sweep"),
        ("+job.trust=true", "is no override of a sweep"),
        ("model@hydra.x=mlp", "is no override of a sweep"),
        ("--config-dir", "'--config-dir' is no override; restore the file from a copy"),
        (3, "3 is no override; restore the file from a copy"),
        (None, "None is no override"),
    ],
)
def test_stored_words_for_hydra_or_for_jobs_are_refused(word, said):
    for words in ([word], ["seed=1", word]):
        with pytest.raises(UserError) as error:
            check_stored_words(words, Path("sweep.json"))
        assert said in str(error.value)


def test_stored_words_that_are_no_list_are_refused():
    with pytest.raises(UserError, match="no override"):
        check_stored_words({"seed": 1}, Path("sweep.json"))


# ---------------------------------------------------------------------------------------------------------------------
# Folders and choices


def test_our_own_configs_are_beside_the_package():
    assert (folder() / "optimizer/adam.yaml").is_file()


def test_folders_of_ones_own_come_from_the_environment_each_once(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.delenv("RUNNER_CONFIGS", raising=False)
    assert (user_folders(), search_path_override()) == ([], [])
    monkeypatch.setenv("RUNNER_CONFIGS", f"{one}{os.pathsep}")
    add_user_folder(two)
    add_user_folder(one)
    assert user_folders() == [one, two]
    assert search_path_override() == [f"hydra.searchpath=['file://{one}','file://{two}']"]
    with pytest.raises(UserError, match=f"^--config-dir: no folder {tmp_path}/three; correct it$"):
        add_user_folder(tmp_path / "three")
    two.rmdir()
    with pytest.raises(UserError, match=f"^RUNNER_CONFIGS: no folder {two}; correct the variable or unset it$"):
        user_folders()


def test_groups_of_ones_own_come_after_ours(tmp_path):
    for group in ("optimizer", "mine", "also"):
        (tmp_path / group).mkdir()
    (tmp_path / "notes.txt").write_text("no group")
    ours = list(group_descriptions([folder()]))
    assert ours[0][0] == "data"
    own = "a group of your own"
    assert list(group_descriptions([folder(), tmp_path])) == [*ours, ("also", own), ("mine", own)]


def test_a_folder_of_ones_own_stays_found_from_another_place(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.delenv("RUNNER_CONFIGS", raising=False)
    monkeypatch.chdir(tmp_path)
    add_user_folder(Path("own"))
    monkeypatch.chdir("/")
    assert user_folders() == [tmp_path / "own"]


def test_the_choices_of_a_config_are_options_by_group():
    cfg, chosen = compose_with_choices(["optimizer=adam", "reg=[l2,dropout]"])
    assert (chosen["optimizer"], chosen["reg"], chosen["augment"]) == ("adam", "l2,dropout", "none")
    assert not any(group.startswith("hydra/") for group in chosen)
    assert "hydra" not in cfg
    assert choices(cfg, {"a": None, "b": 3, "hydra/launcher": "basic"}) == {
        "b": "3",
        "reg": "l2,dropout",
        "augment": "none",
    }


def test_leaves_are_flattened_of_configs_and_of_plain_data_alike():
    cfg = runner.compose([])
    assert flatten(cfg)["optimizer.lr"] == cfg.optimizer.lr
    assert flatten({"a": {"b": [1, 2], "c": {}}}) == {"a.b": [1, 2], "a.c": {}}


def test_words_that_name_runs_become_their_folders(write_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (write_run("outputs/digits/0001-teacher") / "environment.json").write_text("{}")
    named = runner.compose(["loss=distillation", "loss.teacher=teacher"])
    assert settle(named), "there was such a word"
    assert Path(named.loss.teacher).resolve() == tmp_path / "outputs/digits/0001-teacher"
    assert not settle(runner.compose([])), "there was none"
    for word, said in (("last", "last may be another run"), ("0007", "0007")):
        with pytest.raises(UserError, match=rf"^loss\.teacher: .*{said}"):
            settle(runner.compose(["loss=distillation", f"loss.teacher='{word}'"]))


def test_relative_paths_of_a_run_are_found_from_where_it_began_unless_they_are_here(tmp_path, monkeypatch):
    began, here = tmp_path / "began", tmp_path / "here"
    for place in (began / "photos", here):
        place.mkdir(parents=True)
    cfg = runner.compose(["data=folder", "data.root=photos"])
    folder = SimpleNamespace(read_json=lambda file: {"folder": str(began)})

    def root():
        return with_paths_found(cfg, folder, trust=False).data.root

    monkeypatch.chdir(began)
    assert root() == "photos"
    monkeypatch.chdir(here)
    assert root() == str(began / "photos")
    assert cfg.data.root == "photos", "the run's own config stays"
    (here / "photos").mkdir()
    assert root() == "photos"
    (here / "photos").rmdir()
    (began / "photos").rmdir()
    assert root() == "photos", "for the message that names it"


@pytest.mark.parametrize("trust", [True, False])
def test_modules_of_the_folder_in_which_a_run_began_are_searched_on_trust(monkeypatch, tmp_path, trust):
    searched = []
    monkeypatch.setattr("runner.config.stored.search_modules_in", searched.append)
    folder = SimpleNamespace(read_json=lambda name: {"folder": str(tmp_path)})
    with_paths_found(runner.compose([]), folder, trust)
    assert searched == [str(tmp_path)] * trust
    here = SimpleNamespace(read_json=lambda name: {"folder": str(Path.cwd())})
    with_paths_found(runner.compose([]), here, trust)
    assert len(searched) == trust, "which is searched anyway"


def test_a_further_folder_is_searched_once_after_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(checking, "_more_folders", [])
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(Path.cwd()))])
    for _ in range(2):
        checking.search_modules_in(str(tmp_path))
    assert checking._more_folders == [str(tmp_path)]
    checking._find_in_working_folder("no_such_package_here")
    assert sys.path[-2:] == [str(Path.cwd()), str(tmp_path)]
    checking._find_in_working_folder("runner")
    assert sys.path.count(str(tmp_path)) == 1
