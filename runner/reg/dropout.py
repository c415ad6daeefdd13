"""Dropout, attached to the layers of any network without renaming its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from runner.errors import UserError
from runner.quantity import Probability
from runner.reg.regulariser import Regulariser

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass
class Dropout(Regulariser):
    """Zeroes the inputs of hidden layers with probability `p` while training. Source: Srivastava et al. 2014.

    `where`: `linear`, the inputs of fully connected layers; `channels`, whole channels before convolutions; or `both`.
    The first layer of the network, which sees the picture itself, is left alone.
    """

    p: Probability = 0.5
    where: Literal["linear", "channels", "both"] = "linear"

    def attach(self, network: nn.Module) -> None:
        kinds = {"linear": (nn.Linear,), "channels": CONVOLUTIONS, "both": (nn.Linear, *CONVOLUTIONS)}[self.where]
        layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)]
        hidden = [layer for layer in layers[1:] if isinstance(layer, kinds)]
        if not hidden:
            needed = "a hidden fully connected layer" if self.where == "linear" else f"hidden layers ({self.where})"
            raise UserError(f"reg.dropout: this model has no layer to act on: it needs {needed}; choose model=mlp, say")
        for layer in hidden:
            layer.input_dropout = nn.Dropout(self.p) if isinstance(layer, nn.Linear) else nn.Dropout2d(self.p)
            layer.register_forward_pre_hook(_drop_input)


def _drop_input(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    # Through `layer`, not a closure: a deep copy of the network then uses its own dropout.
    dropout = layer.input_dropout
    assert isinstance(dropout, nn.Module)
    first: Tensor = dropout(args[0])
    return (first, *args[1:])
