"""Sweeps and plain multiruns under Hydra's other launchers, where they are installed."""

import importlib.util
import json

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
