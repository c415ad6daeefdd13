"""How many CPU threads a training uses.

Threads wait for each other at the end of every operation, spinning. On a small network they gain little, and where
another process wants one of the cores they lose much: a step can take ten times as long. So a small network has one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ALL = torch.get_num_threads()  # as the user or the environment set it
SMALL = 2 * 10**7  # multiplications of a forward pass over a batch


def choose(network: nn.Module, image_shape: tuple[int, int, int], num_images: int) -> None:
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
