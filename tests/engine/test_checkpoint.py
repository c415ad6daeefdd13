"""Checkpoints: whole, safe, checked, and never half written."""

import hashlib
import json
import pickle
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

import runner
from runner.engine.checkpoint import Checkpoints, _host_copy
from runner.engine.checkpoint_files import read
from runner.engine.settings import Settings
from runner.errors import UserError
from runner.training.resume import resume

WORDS = ["model=mlp", "model.hidden=[16]", "average=ema", "optimizer=adam", "reg=dropout"]


@pytest.fixture
def training():
    return runner.build.training(runner.compose(WORDS))


@pytest.fixture
def checkpoints(tmp_path, training):
    with Checkpoints(tmp_path, training.settings, {"seed": 0}) as made:
        yield made


def steps(training, start, stop):
    return [training.step(training.state, b)[0].item() for b in list(training.train.epoch())[start:stop]]


def test_a_restored_state_goes_on_with_the_same_losses(training, checkpoints):
    steps(training, 0, 5)
    training.state.step = training.state.batch = 5
    checkpoints.save(training.state)
    checkpoints.wait()
    expected = steps(training, 5, 10)
    other = runner.build.training(runner.compose(WORDS))
    assert checkpoints.restore(other.state)
    assert (other.state.step, other.state.batch) == (5, 5)
    assert steps(other, 5, 10) == expected


def test_a_saved_state_does_not_change_while_training_goes_on(training, checkpoints):
    steps(training, 0, 2)
    before = {name: p.clone() for name, p in training.state.network.state_dict().items()}
    checkpoints.save(training.state)
    steps(training, 2, 6)
    checkpoints.wait()
    saved = read(checkpoints.folder / "last.pt")["state"]["network"]
    assert all(torch.equal(saved[name], before[name]) for name in before)


def test_the_manifest_has_the_checksum_of_every_file(training, checkpoints):
    for epoch in (1, 2):
        training.state.epoch = epoch
        checkpoints.save(training.state, ["last.pt", "best.pt"])
    checkpoints.wait()
    files = json.loads((checkpoints.folder / "manifest.json").read_text())["files"]
    assert set(files) == {"last.pt", "previous.pt", "best.pt"}
    for name, entry in files.items():
        assert hashlib.sha256((checkpoints.folder / name).read_bytes()).hexdigest() == entry["sha256"]
    assert (files["previous.pt"]["epoch"], files["last.pt"]["epoch"]) == (1, 2)


@pytest.mark.parametrize("stop_before", ["manifest.json", "previous.pt", "last.pt"])
def test_a_crash_at_any_moment_of_a_save_leaves_a_state_that_restores(training, checkpoints, monkeypatch, stop_before):
    for epoch in (1, 2):
        training.state.epoch = epoch
        checkpoints.save(training.state)
    checkpoints.wait()
    replace = Path.replace

    def crash(self, target):
        if Path(target).name == stop_before:
            raise KeyboardInterrupt
        return replace(self, target)

    training.state.epoch = 3
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        checkpoints.save(training.state)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.wait()
    assert checkpoints.restore(training.state)
    assert training.state.epoch == 2
    assert checkpoints.warnings == []


def save_two_epochs(training, checkpoints, monkeypatch, stop_before=None):
    """Epochs 1 and 2, each the best so far, are saved; the second save is cut short before a file gets its name."""
    replace = Path.replace

    def crash(self, target):
        if Path(target).name == stop_before:
            raise KeyboardInterrupt
        return replace(self, target)

    for epoch in (1, 2):
        steps(training, 5 * (epoch - 1), 5 * epoch)
        training.state.epoch, training.state.step = epoch, 5 * epoch
        training.state.trials[0].best_epoch, training.state.trials[0].best_value = epoch, epoch / 10
        with monkeypatch.context() as patch:
            if epoch == 2:
                patch.setattr(Path, "replace", crash)
            checkpoints.save(training.state, ["last.pt", "best.pt"])
            with pytest.raises(KeyboardInterrupt) if epoch == 2 and stop_before else nullcontext():
                checkpoints.wait()


@pytest.mark.parametrize("stop_before", ["manifest.json", "best.pt", "previous.pt", "last.pt"])
def test_after_a_crash_at_any_moment_the_best_checkpoint_is_of_the_best_epoch(
    training, checkpoints, monkeypatch, stop_before
):
    save_two_epochs(training, checkpoints, monkeypatch, stop_before)
    assert checkpoints.restore(training.state)
    best = read(checkpoints.folder / "best.pt")["state"]["position"]["epoch"]
    assert (training.state.trials[0].best_epoch, training.state.epoch) == (best, best)
    assert checkpoints.warnings == []


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"rubbish")])
def test_a_best_checkpoint_that_is_gone_is_written_again_from_one_of_its_epoch(
    training, checkpoints, monkeypatch, harm
):
    save_two_epochs(training, checkpoints, monkeypatch)
    harm(checkpoints.folder / "best.pt")
    assert checkpoints.restore(training.state)
    assert read(checkpoints.folder / "best.pt")["state"]["position"]["epoch"] == 2
    assert "does not hold the best epoch, 2; it was written again" in checkpoints.warnings[-1]


def test_a_best_checkpoint_that_nothing_replaces_is_said_to_be_lost(training, checkpoints, monkeypatch):
    save_two_epochs(training, checkpoints, monkeypatch)
    for epoch in (3, 4):
        training.state.epoch, training.state.step = epoch, 5 * epoch
        checkpoints.save(training.state)
    checkpoints.wait()
    (checkpoints.folder / "best.pt").unlink()
    assert checkpoints.restore(training.state)
    assert training.state.trials[0].best_epoch is None, "a later epoch must be able to become the best"
    assert training.state.trials[0].best_value is None
    assert "the best is now sought among the epochs to come" in checkpoints.warnings[-1]


def test_a_link_where_a_checkpoint_belongs_is_refused_and_its_target_left_alone(training, checkpoints, tmp_path):
    target = tmp_path / "precious"
    target.write_text("as it was")
    (checkpoints.folder / "last.pt").symlink_to(target)
    checkpoints.save(training.state)
    with pytest.raises(UserError, match=r"last\.pt: is a link"):
        checkpoints.wait()
    assert target.read_text() == "as it was"


def test_a_checkpoint_of_another_config_is_refused_by_its_key(training, tmp_path):
    with Checkpoints(tmp_path, training.settings, {"optimizer.lr": 0.1, "seed": 0}) as one:
        one.save(training.state)
    with (
        Checkpoints(tmp_path, training.settings, {"optimizer.lr": 0.2, "seed": 0}) as other,
        pytest.raises(UserError, match=r"optimizer.lr: the checkpoint was made with 0.1, the config says 0.2"),
    ):
        other.restore(training.state)


def test_a_file_that_would_run_code_is_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("this must not be printed",))

    (tmp_path / "last.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="damaged"):
        read(tmp_path / "last.pt")


def test_an_error_of_the_writer_surfaces(training, checkpoints):
    checkpoints.folder = checkpoints.folder / "file"
    checkpoints.folder.write_text("in the way")
    checkpoints.save(training.state)
    with pytest.raises(FileExistsError):
        checkpoints.wait()


def test_saves_that_come_too_soon_are_left_out_and_the_best_is_kept_all_the_same(train):
    words = ["model=linear", "optimizer=sgd", "optimizer.lr=0.1", "engine.epochs=6", "data.batch_size=400"]
    words += ["engine.keep=all"]
    often = train(*words, "engine.checkpoint_every_seconds=0")
    seldom = train(*words, "engine.checkpoint_every_seconds=1000")
    assert seldom.objective == often.objective
    for name in ("best", "last"):
        one, other = (read(run.folder / f"checkpoints/{name}.pt")["state"] for run in (often, seldom))
        assert one["position"] == other["position"]
        assert all(torch.equal(one["network"][key], other["network"][key]) for key in one["network"])
    assert (often.folder / "checkpoints/previous.pt").exists()
    assert not (seldom.folder / "checkpoints/previous.pt").exists()


@pytest.mark.parametrize("best", ["is the last", "came before"])
def test_a_finished_run_keeps_its_state_once_and_is_lengthened_to_the_bit(train, best):
    words = [
        "model=linear",
        "data.batch_size=400",
        "optimizer=momentum",
        "engine.epochs=2",
        "engine.deterministic=true",
    ]
    words += ["objective.name=train/loss", f"objective.mode={'min' if best == 'is the last' else 'max'}"]
    folder = train(*words).folder / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.pt", "last.pt", "manifest.json"]
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert {name: entry.get("weights_only") for name, entry in files.items()} == {"best.pt": True, "last.pt": None}
    kept = read(folder / "best.pt")["state"]
    assert (kept["position"]["epoch"], "optimizer" in kept) == (2 if best == "is the last" else 1, False)
    whole = train(*words, "engine.keep=all", "name=all").folder / "checkpoints"
    assert torch.equal(kept["network"]["1.weight"], read(whole / "best.pt")["state"]["network"]["1.weight"])
    longer = [resume(path.parent, ["engine.epochs=4"]).folder / "checkpoints" for path in (folder, whole)]
    for name in ("last", "best"):
        one, other = (read(path / f"{name}.pt")["state"] for path in longer)
        assert one["position"] == other["position"]
        assert all(torch.equal(one["network"][key], other["network"][key]) for key in one["network"])


def test_weights_alone_are_kept_where_asked_for_and_no_training_goes_on_from_them(train):
    run = train("model=linear", "data.batch_size=400", "engine.epochs=2", "engine.keep=weights")
    folder = run.folder / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.pt", "manifest.json"]
    assert run.model() is not None
    with pytest.raises(UserError, match=r"has weights only.*start a new run with transfer\.source="):
        resume(run.folder, ["engine.epochs=4"])
    with pytest.raises(UserError, match=r"engine.keep=weights kept best.pt alone"):
        run.model("last")


def test_a_run_that_did_not_end_well_keeps_all(train):
    words = ["model=linear", "data.batch_size=64", "optimizer=sgd", "optimizer.lr=1e30", "engine.keep=weights"]
    run = train(*words, "engine.epochs=3")
    assert run.status == "diverged"
    assert "optimizer" in read(run.folder / "checkpoints/last.pt")["state"]


def test_checkpoints_that_are_as_frequent_as_their_time_allows(monkeypatch, tmp_path):
    """A save of 1 s may come again after 1 s / 0.02, and one of 4 trials that share the time after four times that."""
    now = [0.0]
    monkeypatch.setattr("runner.throttle.time.monotonic", lambda: now[0])
    for num_trials in (1, 4):
        checkpoints = Checkpoints(tmp_path, Settings(), {}, num_trials=num_trials)
        assert checkpoints._throttle.due, "the first epoch is saved"
        checkpoints._throttle.queued()
        assert not checkpoints._throttle.due
        monkeypatch.setattr("runner.engine.checkpoint.write", lambda *_: now.__setitem__(0, now[0] + 0.75))
        checkpoints._write([({}, [])], 0.25)
        assert checkpoints._throttle.free_at - now[0] == pytest.approx(num_trials * 1 / 0.02)


def test_what_a_checkpoint_holds_is_copied_however_deep_it_lies():
    tensors = [torch.ones(2) for _ in range(4)]
    copied = _host_copy({"a": tensors[0], "b": [tensors[1], (tensors[2], {"c": tensors[3]})], "d": "text"})
    for tensor in tensors:
        tensor.zero_()
    found = [copied["a"], copied["b"][0], copied["b"][1][0], copied["b"][1][1]["c"]]
    assert all(torch.equal(one, torch.ones(2)) for one in found)
    assert copied["d"] == "text"
