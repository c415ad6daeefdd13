"""The arithmetic of a training."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from runner.engine.settings import PrecisionName
from runner.errors import UserError


class Precision:
    """The arithmetic of forward and backward passes: autocast, and gradient scaling for fp16.

    Raises:
        UserError: the device cannot compute in it.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.device = device
        if name == "auto":
            name = "fp32" if device.type != "cuda" else "bf16" if _has_bf16(device) else "fp16"
        if name == "bf16" and device.type == "cuda" and not _has_bf16(device):
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


def _has_bf16(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device)[0] >= 8
