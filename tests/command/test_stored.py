"""What the commands on stored runs share."""

from types import SimpleNamespace

import pytest

from runner.command import stored as module
from runner.errors import UserError
from runner.store import SweepFolder, make_folder


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep's folder, whose command notes its words."""
    folder = SweepFolder.create(make_folder(tmp_path, "it"), "it", ["optimizer.lr=1,2", "seed=3"], 0, {})
    folder.unlock()
    folder.update(config_folders=[])
    given = []
    monkeypatch.setattr("runner.command.sweep.main", lambda words: given.append(words) or 5)
    return SimpleNamespace(folder=folder, path=folder.path, given=given)


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize(("accepts", "only"), [(True, False), (False, True)])
def test_a_sweep_begins_again_with_its_words_and_the_changes(sweep, monkeypatch, trust, accepts, only):
    checked = []
    monkeypatch.setattr("runner.config.check_stored_words", lambda *given: checked.append(given))
    assert module.begin_again(sweep.path, ["seed=4", "sweep.rounds=2"], trust, accepts, only) == 5
    (words,) = sweep.given
    assert words == [
        *("optimizer.lr=1,2", "seed=4", "sweep.rounds=2", f"+job.folder='{sweep.path}'", f"+job.trust={trust}"),
        *(f"+job.accept_changed_images={accepts}", f"+job.only_report={only}"),
    ]
    assert checked == ([] if trust else [(["optimizer.lr=1,2", "seed=3"], sweep.path / "sweep.json")])


@pytest.mark.parametrize(
    ("trust", "known", "refused"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_configs_of_another_folder_are_read_on_trust_or_where_they_are_read_already(
    sweep, monkeypatch, tmp_path, trust, known, refused
):
    added, own = [], tmp_path / "own"
    monkeypatch.setattr("runner.config.user_folders", lambda: [own] if known else [])
    monkeypatch.setattr("runner.config.add_user_folder", added.append)
    sweep.folder.update(config_folders=[str(own)])
    if refused:
        with pytest.raises(UserError, match=rf"sweep\.json: reads configs from {own}; pass --trust if you trust both"):
            module.begin_again(sweep.path, [], trust)
        assert (added, sweep.given) == ([], [])
    else:
        module.begin_again(sweep.path, [], trust)
        assert added == [own]


def test_without_conditions_all_are_selected_and_with_some_the_runs_that_meet_them(write_record, tmp_path, monkeypatch):
    run, sweep = write_record(tmp_path / "a"), write_record(tmp_path / "b", "sweep.json")
    assert [entry.path for entry in module.select([tmp_path], [])] == [run, sweep]
    asked = []
    monkeypatch.setattr("runner.store.run_index.RunSummary.read", lambda path: SimpleNamespace(path=path))
    monkeypatch.setattr("runner.compare.filter.where", lambda runs, conditions: asked.append(conditions) or runs)
    assert [entry.path for entry in module.select([tmp_path], ["seed=1"])] == [run]
    assert asked == [["seed=1"]]


@pytest.fixture
def folders(write_record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "run")
    write_record(tmp_path / "sweep", "sweep.json")
    (tmp_path / "photos").mkdir()
    (tmp_path / "seed=1").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "runs", "changes", "others"),
    [
        ([], [], [], []),
        (["lr=1"], [], ["lr=1"], []),
        (["run", "sweep", "photos", "run"], ["run", "sweep"], [], ["photos", "run"]),
        (["run", "+a.b=1", "~c=2", "photos"], ["run"], ["+a.b=1", "~c=2"], ["photos"]),
        (["run", "seed=1", "lr=1"], ["run"], ["lr=1"], ["seed=1"]),
        (["run", "-", "run"], ["run"], [], ["-", "run"]),
        (["run", "0001-lr=0.1"], ["run"], [], ["0001-lr=0.1"]),
        (["nowhere", "run"], ["nowhere", "run"], [], []),
    ],
)
def test_words_are_told_apart(folders, words, runs, changes, others):
    found = module.split_words(words)
    assert ([str(run) for run in found[0]], *found[1:]) == (runs, changes, others)


def test_the_members_of_a_sweep_are_its_best_runs(folders, monkeypatch):
    monkeypatch.setattr("runner.sweep.record.best.best_runs", lambda folder: [folder.path / "x", folder.path / "y"])
    monkeypatch.setattr(module.SweepFolder, "open", lambda path: SimpleNamespace(path=path))
    run, sweep = folders / "run", folders / "sweep"
    assert module.find_members([run, sweep]) == [run, sweep / "x", sweep / "y"]
