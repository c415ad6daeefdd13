"""The surface that users and scripts rely on."""

import subprocess
import sys

import pytest
import torch

import runner
from runner.errors import UserError


def imported(statement):
    code = f"import sys; {statement}; print(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_runner_imports_neither_torch_nor_hydra():
    assert not imported("import runner") & {"torch", "hydra", "omegaconf", "numpy", "rich"}


def test_reading_a_run_imports_no_torch():
    assert "torch" not in imported("from runner.store import RunFolder")
    assert "torch" not in imported("import runner.command.options")


def test_the_public_names():
    assert sorted(runner.__all__) == [
        "Run",
        "Sweep",
        "UserError",
        "build",
        "compare",
        "compose",
        "load",
        "predict",
        "sweep",
        "test",
        "train",
    ]
    for name in runner.__all__:
        assert getattr(runner, name) is not None
    with pytest.raises(AttributeError):
        _ = runner.nothing


def test_a_run_from_python(train):
    run = train("model=mlp", "optimizer=adam", "engine.epochs=1")
    again = runner.load(run.folder)
    assert (again.status, again.metrics, again.config) == ("finished", run.metrics, run.config)
    assert again.config.optimizer._target_ == "runner.optimizer.adam"
    scores = again.model()(torch.rand(3, 1, 8, 8))
    assert scores.shape == (3, 10)
    with pytest.raises(UserError, match="no checkpoint"):
        again.model("epoch-0007")


def test_the_pieces_alone():
    cfg = runner.compose(["model=mlp", "schedule=cosine", "engine.epochs=3"], command="train")
    network = runner.build.model(cfg)
    optimizer = runner.build.optimizer(cfg, network)
    schedule = runner.build.schedule(cfg, optimizer, steps_per_epoch=4)
    criterion = runner.build.loss(cfg)
    data = runner.build.data(cfg)
    images = data.source("train").read(range(8)).float() / 255
    before = criterion(network(images), data.source("train").labels[:8])
    for _ in range(12):
        optimizer.zero_grad()
        criterion(network(images), data.source("train").labels[:8]).backward()
        optimizer.step()
        schedule.step()
    assert criterion(network(images), data.source("train").labels[:8]) < before
    assert schedule.get_last_lr() == pytest.approx([0, 0], abs=1e-12)  # of weights, and of biases


def test_a_mistake_in_a_composition_is_a_user_error():
    with pytest.raises(UserError, match="optimizer=adm: no such option; did you mean 'adam'"):
        runner.compose(["optimizer=adm"])
    with pytest.raises(UserError, match=r"^/nowhere: no such folder"):
        runner.load("/nowhere")
