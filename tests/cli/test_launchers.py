"""Sweeps and plain multiruns under Hydra's other launchers, where they are installed."""

import importlib.util
import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

LAUNCHERS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "ray": "hydra_plugins.hydra_ray_launcher",
}
SMALL = ["model=linear", "log.tensorboard=false", "engine.epochs=1", "data.batch_size=256"]
SWEEP = [*SMALL, "sweep=lr", "sweep.rounds=[{trials: 3, epochs: 1}]", "sweep.num_finalists=0"]


def installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def best(process, name):
    (path,) = process.folder.glob(f"outputs/{name}/*/sweep.json")
    record = json.loads(path.read_text())
    assert record["status"] == "finished"
    return record["best"]["overrides"], record["best"]["score"]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_finds_the_same_under_any_launcher(process, launcher):
    if not installed(LAUNCHERS[launcher]):
        pytest.skip(f"needs the extra of hydra/launcher={launcher}")
    process("sweep", *SWEEP, "name=basic")
    process("sweep", *SWEEP, "name=other", f"hydra/launcher={launcher}")
    assert best(process, "other") == best(process, "basic")


@pytest.mark.skipif(not installed(LAUNCHERS["joblib"]), reason="needs the extra joblib")
def test_joblib_runs_jobs_with_loader_workers(process):
    process("train", "-m", *SMALL, "seed=1,2", "hydra/launcher=joblib", "data.loading=workers", "data.num_workers=1")
    assert [json.loads((path / "run.json").read_text())["status"] for path in process.runs()] == ["finished"] * 2


def test_a_multirun_on_worker_processes(process):
    process("train", "-m", *SMALL, "seed=1,2,3", "hydra/launcher=workers")
    assert [json.loads((path / "run.json").read_text())["status"] for path in process.runs()] == ["finished"] * 3


SCRIPT = """
import torch
import runner

print("run as", __name__, flush=True)


class Net(torch.nn.Module):
    def __init__(self, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__()
        self.flatten = torch.nn.Flatten()
        self.linear = torch.nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, images):
        return self.linear(self.flatten(images))


runner.sweep(WORDS, "model._target_=__main__.Net", "sweep.num_workers=2")
"""


def test_worker_processes_of_a_script_know_its_classes_and_do_not_run_it_again(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT.replace("WORDS", repr(SWEEP)))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run as") == 1
    (path,) = tmp_path.glob("outputs/*/*/sweep.json")
    assert json.loads(path.read_text())["status"] == "finished"
    assert [json.loads(file.read_text())["status"] for file in path.parent.glob("trials/*/run.json")] == [
        "finished"
    ] * 3
