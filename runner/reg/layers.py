"""Which layers of a network a regularizer acts on."""

from typing import Literal

from torch import nn

from runner.errors import UserError

LayerKind = Literal["linear", "conv", "both"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def hidden_layers(network: nn.Module, kind: LayerKind, key: str) -> list[nn.Module]:
    """Fully connected layers, convolutions, or both, but never the first layer, which sees the picture itself.

    Raises:
        UserError: there is none; `key` is the config key to name.
    """
    kinds = {"linear": (nn.Linear,), "conv": CONVOLUTIONS, "both": (nn.Linear, *CONVOLUTIONS)}[kind]
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, *CONVOLUTIONS))]
    hidden: list[nn.Module] = [layer for layer in layers[1:] if isinstance(layer, kinds)]
    if not hidden:
        needed = {"linear": "a fully connected layer", "conv": "a convolution", "both": "a layer"}[kind]
        raise UserError(
            f"{key}: nothing to act on: it needs {needed} after the model's first layer; "
            f"choose model={'convnet' if kind == 'conv' else 'mlp'}, say"
        )
    return hidden
