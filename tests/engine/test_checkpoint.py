"""Checkpoints: whole, safe, checked, and never half written."""

import hashlib
import json
import pickle

import pytest
import torch

import runner
from runner.engine.checkpoint import Checkpoints
from runner.engine.checkpoint_files import read
from runner.errors import UserError

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
    from pathlib import Path

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
    often, seldom = train(*words), train(*words, "engine.checkpoint_every_seconds=1000")
    assert seldom.objective == often.objective
    for name in ("best", "last"):
        one, other = (read(run.folder / f"checkpoints/{name}.pt")["state"] for run in (often, seldom))
        assert one["position"] == other["position"]
        assert all(torch.equal(one["network"][key], other["network"][key]) for key in one["network"])
    assert not (seldom.folder / "checkpoints/previous.pt").exists()
