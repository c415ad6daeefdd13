"""What the machine has to give."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def num_cores() -> int:
    """CPU cores that this process may use; all of them where the system does not say which."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def free_memory(device: torch.device) -> int:
    """Bytes that can be had on the device now; of the host's, no more than the job or container may take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for what comes
        return int(free) + int(kept)
    return min([int(psutil.virtual_memory().available), *_left_to_groups()])


def is_device_fault(error: BaseException) -> bool:
    """Whether a GPU refuses this process from now on, as after an illegal access; memory that ran out is none."""
    return isinstance(error, torch.AcceleratorError)


def let_go_of_memory() -> None:
    """Give the device what torch keeps for tensors that are no more, those of a failed training say."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _left_to_groups() -> Iterator[int]:
    """Bytes left to each control group of this process that has a limit, by version 2 or 1. Empty but on Linux."""
    try:
        groups = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            root, names = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = CGROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = root / place.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root) and (left := _left_to_group(folder, *names)) is not None:
                yield left


def _left_to_group(folder: Path, limit: str, used: str, reclaimable: str) -> int | None:
    """Its limit less what is in use, but for cached files that make room; None where it has no limit."""
    try:
        total, taken = int((folder / limit).read_text()), int((folder / used).read_text())
        told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not there, or "max"
        return None
    return max(0, total - taken + int(told.get(reclaimable, 0)))
