"""The device that a training runs on."""

import os

import torch

from runner.errors import UserError, did_you_mean
from runner.gpus import VISIBLE, has_gpu, num_gpus_of_the_sweep

NAMES = ["auto", "cpu", "cuda", "mps"]
OTHER_NAMES = ("gpu", "GPU", "nvidia")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which is read once, before the first product of matrices
JOB, WORKER = "RUNNER_JOB", "RUNNER_WORKER"  # environment variables: the number of a job, of a worker process
NUM_WORKERS = "RUNNER_NUM_WORKERS"  # and how many of these processes the sweep has


def set_job_number(number: int) -> None:
    """Note that this process runs one of several jobs, which are spread over the GPUs of the machine."""
    os.environ[JOB] = str(number)


def select_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU.

    On a machine with several GPUs, `auto` takes one by the number of the worker process or of the job.

    Raises:
        UserError: the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", _gpu_of_job() if torch.cuda.device_count() > 1 else 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name.partition(":")[0] in OTHER_NAMES:
        raise UserError(f"engine.device: no device '{name}'; use cuda, or auto, which takes a GPU where there is one")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"engine.device: no device '{name}'{did_you_mean(name, NAMES)}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UserError(f"engine.device: no device '{name}' on this machine ({found} CUDA devices); use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("engine.device: no device 'mps' on this machine; use auto or cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"engine.device: '{name}' is not supported; choose from auto, cpu, cuda, mps")
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else device


def num_sweep_workers() -> int:
    """How many worker processes the sweep has that this process works for; 1 outside a sweep."""
    return int(os.environ.get(NUM_WORKERS, 1))


def num_sharing(device: torch.device) -> int:
    """How many worker processes of a sweep take memory of that GPU; 1 for other devices, and outside a sweep."""
    if device.type != "cuda":
        return 1
    return max(1, -(-num_sweep_workers() // max(1, num_gpus_of_the_sweep(torch.cuda.device_count()))))


def unused_gpu(name: str, device: torch.device) -> str | None:
    """A line where `auto` fell back to the CPU on a machine with a GPU that nobody has hidden; else None."""
    if name != "auto" or device.type != "cpu" or VISIBLE in os.environ:
        return None
    if not has_gpu():
        return None
    build = "has no CUDA" if torch.version.cuda is None else f"needs a driver for CUDA {torch.version.cuda}"
    return f"engine.device=auto: the training runs on the CPU, for this machine's GPU cannot be used: torch {build}"


def _gpu_of_job() -> int:
    place = os.environ.get(WORKER) or os.environ.get(JOB)
    return int(place) % torch.cuda.device_count() if place else torch.cuda.current_device()
