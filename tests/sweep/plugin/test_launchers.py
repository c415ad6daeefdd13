"""Which launcher runs the jobs, and what Ray is asked for."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from runner.sweep.plugin import launchers as module
from runner.sweep.plugin import training_sweep
from runner.sweep.plugin.sweeper import RunnerSweeper
from runner.sweep.plugin.workers import WorkersLauncher

RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"


def whole(target="hydra._internal.core_plugins.basic_launcher.BasicLauncher", **more):
    return OmegaConf.create({"hydra": {"launcher": {"_target_": target, **more}}})


@pytest.mark.parametrize(
    ("target", "has_gpu", "remote", "asked"),
    [
        (RAY, True, {}, {"num_gpus": 1}),
        (RAY, True, {"num_gpus": 0.5}, {"num_gpus": 0.5}),
        (RAY, False, {}, {}),
        ("a.JoblibLauncher", True, {}, {}),
    ],
)
def test_ray_is_asked_for_a_gpu_a_job_where_nothing_is_said(monkeypatch, target, has_gpu, remote, asked):
    monkeypatch.setattr(module, "has_gpu", lambda: has_gpu)
    config = whole(target, ray={"remote": remote})
    OmegaConf.set_struct(config, True)
    module._ask_ray_for_gpus(config)
    assert config.hydra.launcher.ray.remote == asked


def test_a_launcher_of_rays_without_its_settings_is_left_alone(monkeypatch):
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    config = whole(RAY)
    module._ask_ray_for_gpus(config)
    assert config == whole(RAY)


def test_one_worker_is_hydras_launcher(monkeypatch):
    asked = []
    plugins = SimpleNamespace(instantiate_launcher=lambda **given: asked.append(given) or "hydra's")
    monkeypatch.setattr(module, "Plugins", SimpleNamespace(instance=lambda: plugins))
    monkeypatch.setattr(module, "_ask_ray_for_gpus", asked.append)
    config = whole()
    with module.launcher("context", "task", config) as made:
        assert made == "hydra's"
    assert asked == [config, {"hydra_context": "context", "task_function": "task", "config": config}]


def test_several_workers_are_our_own_and_end_with_the_block(monkeypatch):
    done = []
    monkeypatch.setattr(WorkersLauncher, "setup", lambda self, **given: done.append(given))
    monkeypatch.setattr(WorkersLauncher, "close", lambda self: done.append("closed"))
    config = whole()
    with suppress(ValueError), module.launcher("context", "task", config, num_workers=3) as made:
        assert (type(made), made.num_workers) == (WorkersLauncher, 3)
        raise ValueError("odd")
    assert done == [{"hydra_context": "context", "task_function": "task", "config": config}, "closed"]


@pytest.mark.parametrize(
    ("sweep", "is_ours"), [({"_target_": "a.Settings"}, True), ({"rounds": 3}, False), (None, False)]
)
def test_a_sweep_of_trainings_is_told_by_its_settings(monkeypatch, sweep, is_ours):
    seen = []
    monkeypatch.setattr(training_sweep, "sweep_training_runs", lambda *given, **keys: seen.append((True, given, keys)))
    monkeypatch.setattr(
        "runner.sweep.plugin.generic.sweep_any_application", lambda *given, **keys: seen.append((False, given, keys))
    )
    made = RunnerSweeper(max_batch_size=4, params={"x": "1,2"})
    config = OmegaConf.create({} if sweep is None else {"sweep": sweep})
    made.setup(hydra_context="context", task_function="task", config=config)
    made.sweep(["x=3"])
    given = {"context": "context", "task": "task", "whole": config}
    words = ["x=3"] if is_ours else ["x=1,2", "x=3"]
    assert seen == [(is_ours, (words, 4), given)]


def test_without_settings_all_jobs_of_a_round_run_at_once():
    made = RunnerSweeper()
    assert (made.max_batch_size, made.params) == (None, {})
