"""The device, its precision and its random state."""

from __future__ import annotations

import ctypes
import os
import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from runner.engine.settings import PrecisionName, Settings
from runner.errors import UserError, did_you_mean

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h, in bytes


def pick(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(
            f"engine.device: no device '{name}'{did_you_mean(name, ['auto', 'cpu', 'cuda', 'mps'])}"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UserError(f"engine.device: no device '{name}' on this machine ({found} CUDA devices); use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("engine.device: no device 'mps' on this machine; use auto or cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"engine.device: '{name}' is not supported; choose from auto, cpu, cuda, mps")
    return device


def share(place: int) -> str:
    """The name of a device for one of several jobs at once, which are spread over the GPUs of the machine."""
    worker = os.environ.get("RUNNER_WORKER")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{(int(worker) if worker else place) % count}" if count > 1 else "auto"


class Precision:
    """The arithmetic of forward and backward passes: autocast, and gradient scaling for fp16.

    Raises:
        UserError: the device cannot compute in it.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.device = device
        if name == "auto":
            name = "fp32" if device.type != "cuda" else "bf16" if _has_bf16() else "fp16"
        if name == "bf16" and device.type == "cuda" and not _has_bf16():
            raise UserError("engine.precision: this GPU has no bf16; use fp16 or fp32")
        if name != "fp32" and device.type == "mps":
            raise UserError(f"engine.precision: {name} is not supported on mps; use fp32")
        self.name = name
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def _has_bf16() -> bool:
    return torch.cuda.get_device_capability()[0] >= 8


def prepare(settings: Settings, seed: int, device: torch.device) -> None:
    """Set the process-wide switches: threads, determinism, random seeds."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if settings.deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports the compiler: seconds
        torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.benchmark = not settings.deterministic and device.type == "cuda"
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if settings.deterministic else "high")
    if not settings.compile:
        _leave_compiler_out()
    if device.type == "cpu":
        _keep_freed_memory()
    seed_everything(seed)


def _leave_compiler_out() -> None:
    """Let optimizers be made without importing torch's compiler, which takes longer than many a run.

    torch keeps these methods from being compiled by a wrapper that imports the compiler when it is first called and
    then remembers what to call. Nothing here calls them in compiled code. Where torch's wrapper is another one, this
    changes nothing.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(Optimizer, name), "__wrapped__", None)
        if plain is not None:
            vars(plain).setdefault("__dynamo_disable", plain)


def _keep_freed_memory() -> None:
    """Let the C library keep what tensors of a training step free, for those of the next.

    As it comes, memory of a tensor above some size goes back to the system at once, and each page of the next one is
    fetched and cleared anew, which can take longer than the operation. Does nothing where the library is not glibc.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    set_option(M_MMAP_THRESHOLD, 2**28)
    set_option(M_TRIM_THRESHOLD, 2**31 - 1)


def seed_everything(seed: int) -> None:
    """Seed every global generator. What runs needs for itself is drawn from generators of its own."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every global generator, as plain data and tensors."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "python": [version, torch.tensor(internal), gauss_next],
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(int(word) for word in internal), gauss_next))
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(_cpu(state["torch"]))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(_cpu(state["cuda"]), device)


def _cpu(state: Tensor) -> Tensor:
    return state.to("cpu", torch.uint8)
