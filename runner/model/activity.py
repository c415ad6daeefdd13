"""What passes through the layers of a network, forward and backward: for `runner check` and for the doctor.

B images; a unit is a channel of a convolution, or an output of a linear layer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from runner.model.summary import layer_names

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
RECTIFYING = (nn.ReLU, nn.ReLU6)  # whose units are dead where they give 0 for every image
BOUNDED: dict[type, tuple[float, float]] = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}
EDGE = 0.01  # share of the range at each end, in which a unit is saturated


@dataclass
class Activity:
    """Of one layer: its output on a batch, and the gradient of the loss by that output.

    Args:
        dead: share of units that gave 0 for all images; None where the layer cannot have dead units.
        saturated: share of outputs at the ends of their range; None where the layer has no range.
        gradient_norm: of the gradient by the whole output; None before a backward pass.
    """

    name: str
    kind: str
    mean: float
    std: float
    dead: float | None = None
    saturated: float | None = None
    gradient_norm: float | None = None
    is_weighted: bool = False
    values: Tensor = field(default_factory=lambda: torch.zeros(0))
    gradients: Tensor = field(default_factory=lambda: torch.zeros(0))


@contextmanager
def observed(
    network: nn.Module, with_gradients: bool = False, num_kept: int = 0
) -> Iterator[dict[nn.Module, Activity]]:
    """Within, each forward pass notes the activity of convolutions, linear layers and activations, in their order.

    Args:
        with_gradients: note the gradient by the output in the backward pass.
        num_kept: values of the output, and of its gradient, that are kept for a histogram.
    """
    found: dict[nn.Module, Activity] = {}
    shown = layer_names(network)
    hooks = []

    def note(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return
            activity = found[layer] = describe(name, layer, output.detach(), num_kept)
            if with_gradients and output.requires_grad:

                def arrived(gradient: Tensor) -> None:
                    activity.gradient_norm = gradient.norm().item()
                    activity.gradients = _some(gradient, num_kept)

                output.register_hook(arrived)

        return hook

    for path, layer in network.named_modules():
        if isinstance(layer, WEIGHTED) or _is_activation(layer):
            name = shown.get(path) or f"{path} ({type(layer).__name__.lower()})"
            hooks.append(layer.register_forward_hook(note(name)))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _is_activation(layer: nn.Module) -> bool:
    return type(layer).__module__ == "torch.nn.modules.activation" and next(layer.children(), None) is None


def describe(name: str, layer: nn.Module, output: Tensor, num_kept: int = 0) -> Activity:
    """The activity of a layer's output [B, units, ...] on a batch."""
    values = output.float()
    bounds = next((bounds for kind, bounds in BOUNDED.items() if isinstance(layer, kind)), None)
    return Activity(
        name,
        type(layer).__name__,
        values.mean().item(),
        values.std().item() if values.numel() > 1 else 0.0,
        dead=dead_share(values) if isinstance(layer, RECTIFYING) else None,
        saturated=None if bounds is None else saturated_share(values, *bounds),
        is_weighted=isinstance(layer, WEIGHTED),
        values=_some(values, num_kept),
    )


def dead_share(output: Tensor) -> float:
    """Share of units of [B, units, ...] that are 0 for all images and at all places.

    >>> dead_share(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    0.5
    """
    units = output.transpose(0, 1).flatten(1) if output.ndim in (2, 4) else output.flatten(0, -2).T
    return (units == 0).all(1).double().mean().item()


def saturated_share(output: Tensor, low: float, high: float) -> float:
    """Share of outputs within `EDGE` of the range's ends."""
    edge = EDGE * (high - low)
    return ((output < low + edge) | (output > high - edge)).double().mean().item()


def _some(values: Tensor, count: int) -> Tensor:
    """At most so many of the values, spread over all of them."""
    if not count:
        return torch.zeros(0)
    flat = values.detach().flatten()
    return flat[:: max(1, flat.numel() // count)][:count].float().cpu()
