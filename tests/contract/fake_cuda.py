"""A CUDA device without a GPU: tensors on `cuda` are torch's fake tensors, which have shapes but no values.

A run on it finds operations over tensors of two devices, and places where the host reads a value from the device. It
finds no wrong numbers, no times, and nothing about streams or kernels. Gradients are zeros: torch's autograd engine
needs a real device.
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

READS = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "masked_select",
    "equal",
    "_unique2",
    "is_nonzero",
    "unique_consecutive",
)
GIBIBYTE = 2**30


class FakeDevice(TorchDispatchMode):
    """Sends operations on `cuda` to fake tensors, and all others to the CPU.

    Attributes:
        reads: each place where the host read from the device.
        kernels: how many operations ran on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.reads: list[str] = []
        self.kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_device = [tensor for tensor in tensors if isinstance(tensor, FakeTensor)]
        target = kwargs.get("device")
        if not on_device and (target is None or torch.device(target).type != "cuda"):
            return func(*args, **kwargs)
        self.kernels += 1
        name = func._schema.name.partition("::")[2]
        if on_device and (name in READS or _goes_to_host(name, args, target)):
            return self._read(name, args, kwargs)
        if name.startswith("_fused_"):  # an update in place, without a form for fake tensors
            # Their counts of steps are on the device as well.
            elsewhere = [tensor for tensor in tensors if not isinstance(tensor, FakeTensor)]
            assert not elsewhere, f"{name} got tensors of two devices"
            return None
        args, kwargs = tree_map(self._as_fake, (args, kwargs))
        with self.fake:
            return func(*args, **kwargs)

    def _as_fake(self, value: Any) -> Any:
        is_real = isinstance(value, Tensor) and not isinstance(value, FakeTensor)
        return self.fake.from_tensor(value.detach()) if is_real else value

    def _read(self, name: str, args: Any, kwargs: Any) -> Any:
        """Note the place, and give the host something of the right form."""
        self.reads.append(f"{name} at {_place()}")
        first: Tensor = args[0]
        if name in ("_to_copy", "copy_"):
            return first if name == "copy_" else torch.ones(first.shape, dtype=kwargs.get("dtype") or first.dtype)
        if name in ("_local_scalar_dense", "item"):
            return True if first.dtype == torch.bool else 1.0 if first.dtype.is_floating_point else 1
        if name in ("equal", "is_nonzero"):
            return True
        raise NotImplementedError(f"{name}: the shape of what it gives depends on values, so it waits for the device")


def _goes_to_host(name: str, args: Any, target: Any) -> bool:
    if name == "_to_copy":
        return target is not None and torch.device(target).type == "cpu" and args[0].device.type == "cuda"
    return name == "copy_" and not isinstance(args[0], FakeTensor)


def _place() -> str:
    """The innermost line of the package that is running."""
    for frame in reversed(traceback.extract_stack()):
        if "/runner/" in frame.filename:
            return f"runner/{frame.filename.rpartition('/runner/')[2]}:{frame.lineno}"
    return "?"


def _backward(total: Tensor, *_: Any, **__: Any) -> None:
    """Zeros as the gradients of all leaves."""
    waiting, seen = [total.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            assert leaf.device == total.device, f"a leaf on {leaf.device} of a loss on {total.device}"
            leaf.grad = torch.zeros_like(leaf)
        waiting += [following for following, _ in node.next_functions]


def _grad(outputs: Any, inputs: Any, *_: Any, **__: Any) -> tuple[Tensor, ...]:
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    return tuple(torch.zeros_like(one) for one in inputs)


def _moved(network: nn.Module, function: Any, recurse: bool = True) -> nn.Module:
    """`Module._apply` with new parameters, since a fake tensor cannot be the data of a real one."""
    for child in network.children():
        child._apply(function)
    for name, parameter in list(network._parameters.items()):
        if parameter is not None:
            with torch.no_grad():
                new = function(parameter)
            if new is not parameter:
                marks = vars(parameter)
                network._parameters[name] = moved = nn.Parameter(new, parameter.requires_grad)
                vars(moved).update(marks)
    for name, buffer in list(network._buffers.items()):
        if buffer is not None:
            network._buffers[name] = function(buffer)
    return network


_tensor = torch.tensor


def _made(data: Any, *, device: Any = None, **options: Any) -> Tensor:
    made = _tensor(data, **options)
    return made if device is None else made.to(device)


@contextmanager
def fake_cuda() -> Iterator[FakeDevice]:
    """Within it torch finds one GPU of 80 GiB; gives the device, which notes what happens on it."""
    cuda: dict[str, Any] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_bf16_supported": lambda *a, **k: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "get_device_capability": lambda *a: (9, 0),
        "mem_get_info": lambda *a: (79 * GIBIBYTE, 80 * GIBIBYTE),
        "memory_reserved": lambda *a: 0,
        "memory_allocated": lambda *a: 0,
        "get_rng_state": lambda *a: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *a: None,
        "manual_seed_all": lambda seed: None,
        "synchronize": lambda *a: None,
        "empty_cache": lambda: None,
    }
    torch._C._ensureCUDADeviceGuardSet()  # without a driver, operations would ask it for the current device
    with ExitStack() as stack:
        for name, stub in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stub))
        for owner, name, stub in (
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.random, "fork_rng", lambda *a, **k: nullcontext()),
            (torch, "tensor", _made),
            (Tensor, "backward", _backward),
            (Tensor, "pin_memory", lambda tensor, *a: tensor),
            (torch.autograd, "grad", _grad),
            (nn.Module, "_apply", _moved),
        ):
            stack.enter_context(mock.patch.object(owner, name, stub))
        yield stack.enter_context(FakeDevice())
