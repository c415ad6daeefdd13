"""The GPUs of the machine, as its driver names them: without torch, and without a CUDA context."""

import os
import re
import subprocess
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder for each GPU that the driver of a Linux machine has found
NUM_GPUS = "RUNNER_NUM_GPUS"  # environment variable: how many there are where a process sees one of them alone
LIST_SECONDS = 20


def has_gpu() -> bool:
    """Whether the driver has found one, hidden or not."""
    return DRIVER.is_dir() and any(DRIVER.iterdir())


def visible_gpus() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` may name, one entry per GPU; per slice of a GPU that is cut by MIG."""
    if (said := os.environ.get(VISIBLE)) is not None:
        return [name.strip() for name in said.split(",") if name.strip()]
    if not has_gpu():
        return []
    try:
        listing = ["nvidia-smi", "-L"]
        done = subprocess.run(listing, capture_output=True, text=True, timeout=LIST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_list(done.stdout)


def parse_list(text: str) -> list[str]:
    """The UUIDs in what `nvidia-smi -L` prints; of a GPU that is cut, those of its slices.

    >>> parse_list("GPU 0: NVIDIA H200 (UUID: GPU-aa)")
    ['GPU-aa']
    """
    found: list[list[str]] = []
    for kind, name in re.findall(r"^\s*(GPU|MIG)\b.*\(UUID: ([^)]+)\)", text, re.MULTILINE):
        if kind == "GPU":
            found.append([name])
        elif found:
            found[-1] = [one for one in found[-1] if one.startswith("MIG")] + [name]
    return [name for names in found for name in names]


def pin(number: int) -> None:
    """Let this process see one GPU alone, by its number among the workers. CUDA must not have been asked before.

    A context on another GPU, which takes hundreds of MB there, cannot come about then.
    """
    gpus = visible_gpus()
    if len(gpus) > 1:
        os.environ[NUM_GPUS] = str(len(gpus))
        os.environ[VISIBLE] = gpus[number % len(gpus)]


def num_gpus_of_the_sweep(num_seen: int) -> int:
    """How many GPUs the workers of the sweep share, of which this process sees so many."""
    return int(os.environ.get(NUM_GPUS, num_seen))
