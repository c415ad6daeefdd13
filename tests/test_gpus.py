"""Which GPUs the machine has, by its driver's own list, and which of them a worker sees."""

import os
import subprocess
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from runner import gpus
from runner.engine import device
from runner.sweep.plugin import launchers

WHOLE = "GPU 0: NVIDIA H200 (UUID: GPU-aa)\nGPU 1: NVIDIA H200 (UUID: GPU-cc)\n"
CUT = (
    "GPU 0: NVIDIA H200 (UUID: GPU-aa)\n"
    "  MIG 1g.18gb     Device  0: (UUID: MIG-b0)\n"
    "  MIG 1g.18gb     Device  1: (UUID: MIG-b1)\n"
    "GPU 1: NVIDIA H200 (UUID: GPU-cc)\n"
)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """`machine(listing)`: one whose driver has found a GPU and lists this."""
    monkeypatch.setenv(gpus.VISIBLE, "")  # so that what a test sets is taken back
    monkeypatch.setenv(gpus.NUM_GPUS, "1")
    monkeypatch.delenv(gpus.VISIBLE)
    monkeypatch.delenv(gpus.NUM_GPUS)

    def have(listing):
        (tmp_path / "0000:01:00.0").mkdir()
        monkeypatch.setattr(gpus, "DRIVER", tmp_path)

        tool = tmp_path / "tools" / "nvidia-smi"
        tool.parent.mkdir()
        monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
        if listing is not None:
            tool.write_text(f"#!/bin/sh\necho 'a warning' >&2\n[ \"$*\" = -L ] && cat <<'LIST'\n{listing}LIST\n")
            tool.chmod(0o755)

    return have


@pytest.mark.parametrize(
    ("listing", "expected"),
    [(WHOLE, ["GPU-aa", "GPU-cc"]), (CUT, ["MIG-b0", "MIG-b1", "GPU-cc"]), ("No devices found.\n", []), (None, [])],
)
def test_a_gpu_that_is_cut_counts_by_its_slices(machine, listing, expected):
    machine(listing)
    assert gpus.visible_gpus() == expected


def test_what_is_hidden_already_stays_hidden(machine, monkeypatch):
    machine(WHOLE)
    monkeypatch.setenv(gpus.VISIBLE, "3, MIG-b1")
    assert gpus.visible_gpus() == ["3", "MIG-b1"]


def test_a_machine_without_a_driver_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "missing")
    monkeypatch.setattr(subprocess, "run", None)
    assert gpus.visible_gpus() == []


@pytest.mark.parametrize(("number", "expected"), [(0, "MIG-b0"), (1, "MIG-b1"), (2, "GPU-cc"), (3, "MIG-b0")])
def test_each_worker_sees_one_gpu_alone(machine, number, expected):
    machine(CUT)
    gpus.pin(number)
    assert os.environ[gpus.VISIBLE] == expected
    assert gpus.num_gpus_of_the_sweep(1) == 3


def test_a_single_gpu_needs_no_pinning(machine):
    machine("GPU 0: NVIDIA H200 (UUID: GPU-aa)\n")
    gpus.pin(1)
    assert gpus.VISIBLE not in os.environ
    assert gpus.num_gpus_of_the_sweep(1) == 1


def test_workers_that_see_one_gpu_share_it_with_those_of_the_same(machine, monkeypatch):
    machine(WHOLE)
    monkeypatch.setenv(device.NUM_WORKERS, "5")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    gpus.pin(0)
    assert device.num_sharing(SimpleNamespace(type="cuda")) == 3


@pytest.mark.parametrize(
    ("target", "remote", "expected"),
    [
        ("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", {}, {"num_gpus": 1}),
        ("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", {"num_gpus": 0.5}, {"num_gpus": 0.5}),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", {}, {}),
    ],
)
def test_ray_is_asked_for_a_gpu_where_there_is_one(machine, target, remote, expected):
    machine(WHOLE)
    whole = OmegaConf.create({"hydra": {"launcher": {"_target_": target, "ray": {"remote": remote}}}})
    OmegaConf.set_struct(whole, True)
    launchers._ask_ray_for_gpus(whole)
    assert whole.hydra.launcher.ray.remote == expected
