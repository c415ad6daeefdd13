"""Free memory, as the system and the control groups of the process have it."""

import pytest
import torch

from runner import machine

CPU = torch.device("cpu")
NAMES = {
    2: ("", "memory.max", "memory.current", "inactive_file"),
    1: ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@pytest.fixture
def group(tmp_path, monkeypatch):
    """`group(2, "job/step", limit="5000", used=2000, cached=500)` is a control group of this process."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10_000}))

    def make(version, place, limit, used, cached):
        controller, *files, reclaimable = NAMES[version]
        folder = tmp_path / controller / place
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(files, (limit, used), strict=True):
            (folder / name).write_text(f"{content}\n")
        (folder / "memory.stat").write_text(f"anon 7\n{reclaimable} {cached}\n")
        (tmp_path / "own").write_text(f"3:cpu:/elsewhere\n{0 if version == 2 else 4}:{controller}:/job/step\n")
        monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")

    return make


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("place", ["job/step", "job", ""])
def test_no_more_is_free_than_a_control_group_has_left(group, version, place):
    group(version, place, limit="5000", used=2000, cached=500)
    assert machine.free_memory(CPU) == 3500


@pytest.mark.parametrize("limit", ["max", str(2**60)])
def test_a_group_without_a_limit_leaves_what_the_system_has(group, limit):
    group(2, "job", limit=limit, used=2000, cached=500)
    assert machine.free_memory(CPU) == 10_000


def test_without_control_groups_it_is_what_the_system_has(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "none")
    assert machine.free_memory(CPU) == pytest.approx(machine.psutil.virtual_memory().available, rel=0.5)


def test_what_torch_keeps_of_a_gpus_memory_is_free_for_what_comes(monkeypatch):
    """60 GiB are cached of which 1 is in use, and 18 are free: 77 can be had."""
    gib = 2**30
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (18 * gib, 80 * gib))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 60 * gib)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 1 * gib)
    assert machine.free_memory(torch.device("cuda:0")) == 77 * gib
