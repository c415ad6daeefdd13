"""Process-wide switches of a training: determinism, CPU threads, what torch imports, how memory is kept.

CPU threads wait for each other at the end of every operation, spinning. On a small network they gain little, and where
another process wants one of the cores they lose much: a step can take ten times as long. So a small network has one.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.engine.rng import seed_everything
from runner.engine.settings import Settings

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h, in bytes
ALL = torch.get_num_threads()  # as the user or the environment set it
SMALL = 2 * 10**7  # multiplications of a forward pass over a batch


def prepare(settings: Settings, seed: int, device: torch.device) -> None:
    """Set the process-wide switches: threads, determinism, random seeds."""
    if settings.num_threads:
        torch.set_num_threads(settings.num_threads)
    if settings.deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports the compiler: seconds
        torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.benchmark = not settings.deterministic and device.type == "cuda"
    if device.type == "cuda":
        torch.cuda.set_device(device)  # else what asks for the current one makes a context on the first GPU
        exact = settings.deterministic or settings.precision == "fp32"  # without TF32, which has 10 bits
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    if settings.compile in (False, "graph"):
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


def use_one_thread() -> None:
    """Set one CPU thread for a process that shares the cores with others; on a GPU machine threads stay as they are."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)


def set_num_threads(network: nn.Module, image_shape: tuple[int, int, int], num_images: int) -> None:
    """Set them for a training whose forward passes take so many images."""
    torch.set_num_threads(1 if num_images * multiplications(network, image_shape) < SMALL else ALL)


@torch.no_grad()
def multiplications(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Of a forward pass over one image, in linear and convolutional layers."""
    total = 0

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = network.training
    parameter = next(network.parameters())
    try:
        with torch.random.fork_rng(devices=[]):
            network.eval()(torch.zeros(1, *image_shape, dtype=parameter.dtype, device=parameter.device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
