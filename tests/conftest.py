"""What every test shares: one thread, clean switches, and small trainings to look into."""

import json
import os

import pytest
import torch
from hydra.version import VersionBase
from omegaconf import OmegaConf

import runner
from tests.composing import composing_once
from tests.looks import Looks

torch.set_num_threads(1)  # tests run side by side


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="record what pictures and screens look like, after a look")


@pytest.fixture
def looks(request):
    """`looks("name", text)` compares a picture or a screen, as text, with what was recorded."""
    return Looks(request.config.getoption("--record"))


@pytest.fixture(autouse=True, scope="session")
def _equal_words_are_composed_once():
    with composing_once():
        yield


@pytest.fixture(autouse=True)
def _no_folders_of_another_test():
    """Commands with --config-dir name their folder in the environment, for the processes that they start."""
    yield
    os.environ.pop("RUNNER_CONFIGS", None)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _fresh_switches():
    """The same random state before each test, and afterwards none of the process-wide switches that it set."""
    torch.manual_seed(0)
    precision, dtype = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    versions, base = VersionBase.instance(), VersionBase.instance().version_base
    yield
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision(precision)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(1)
    versions.version_base = base


@pytest.fixture(autouse=True)
def _on_the_cpu(request, monkeypatch):
    """Tests see no GPU unless they are marked `cuda`: losses and bits that they hold are those of the CPU."""
    if "cuda" not in request.keywords and torch.cuda.is_available():
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # of processes that are started


@pytest.fixture(autouse=True)
def _no_figures(request, monkeypatch):
    """Trainings in this process draw no figures, which take longer than most; with the mark `figures` they do."""
    if "figures" not in request.keywords:
        monkeypatch.setattr("runner.training.train.draw_run", lambda folder, training: [])


@pytest.fixture
def train(tmp_path):
    """`train("optimizer=adam")` trains quietly in a temporary folder and gives the run."""

    def quietly(*words):
        return runner.train([*words, f"output_dir={tmp_path}/outputs", "log.progress=none"])

    return quietly


@pytest.fixture
def write_record():
    """`write_record(path, "sweep.json", status="failed")` makes a folder with no more than its record."""

    def write(path, file="run.json", **record):
        path.mkdir(parents=True)
        (path / file).write_text(json.dumps({"id": "1", "name": "a", "status": "finished"} | record))
        return path

    return write


@pytest.fixture
def write_run(tmp_path):
    """`write_run("a", [0.8, 0.9], seed=1, choices={"reg": "l2"}, **{"optimizer.lr": 0.1})` writes a run's files.

    The values are val/accuracy by epoch, val/loss is 1 less them; None where an epoch was not evaluated.
    """

    def write(folder, values=(0.8, 0.9), *, seed=0, status="finished", choices=None, without=(), **leaves):
        path = tmp_path / folder
        path.mkdir(parents=True)
        leaves = {
            "name": None,
            "seed": seed,
            "output_dir": "outputs",
            "optimizer._target_": "runner.optimizer.sgd",
            "optimizer.lr": 0.1,
            "reg": {},
            "engine.epochs": len(values),
            "log.progress": "auto",
        } | leaves
        config = OmegaConf.create({})
        for key, value in leaves.items():
            if key not in without:
                OmegaConf.update(config, key, value, force_add=True)
        lines = [
            {"epoch": epoch, "lr": 0.1, "val/accuracy": value, "val/loss": None if value is None else 1 - value}
            | {"images_per_second": 1000.0 * epoch}
            for epoch, value in enumerate(values, 1)
        ]
        best = max((value for value in values if value is not None), default=None)
        record = {
            "id": path.name,
            "name": "digits-convnet",
            "status": status,
            "seconds": 2.0,
            "choices": {"optimizer": "sgd", "reg": "none", "log": "default"} | (choices or {}),
            "objective": {"name": "val/accuracy", "mode": "max", "value": best, "epoch": 1},
            "metrics": lines[-1] if lines else {},
        }
        (path / "config.yaml").write_text(OmegaConf.to_yaml(config))
        (path / "run.json").write_text(json.dumps(record))
        (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
