"""Noise in the layers of any network: dropout, DropConnect, stochastic depth."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from runner.constraints import Bounds, FractionBelowOne
from runner.errors import UserError
from runner.reg.regularizer import Regularizer

LayerKind = Literal["linear", "conv", "both"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Where a residual block's branch ends: the name of its last layer, deepest first.
BRANCH_ENDS = ("branch", "bn3", "bn2")


@dataclass
class Dropout(Regularizer):
    """Zeroes the inputs of hidden layers with probability `p` while training. Source: Srivastava et al. 2014.

    `layers`: `linear`, the inputs of fully connected layers; `conv`, whole channels before convolutions; or `both`.
    `form`: `inverted` divides by 1-p in training; `vanilla` leaves training as it is and multiplies by 1-p at test.
    The first layer of the network, which sees the picture itself, is left alone. No parameter is renamed. Where the
    inputs of fully connected layers are dropped, dropout that the network has of its own is switched off.
    """

    draws_noise: ClassVar[bool] = True

    p: FractionBelowOne = 0.5
    layers: LayerKind = "linear"
    form: Literal["inverted", "vanilla"] = "inverted"

    def attach(self, network: nn.Module) -> None:
        dropped = hidden_layers(network, self.layers, "reg.dropout.layers")
        if self.layers != "conv":
            for layer in network.modules():
                if type(layer) is nn.Dropout:  # DropConnect's is of a class of its own
                    layer.p = 0.0
        for layer in dropped:
            whole_channels = not isinstance(layer, nn.Linear)
            layer.input_dropout = InputDropout(self.p, whole_channels, self.form == "inverted")
            layer.register_forward_pre_hook(_drop_input)


class InputDropout(nn.Module):
    """Dropout of elements of [B, ...], or of channels of [B, C, H, W]."""

    def __init__(self, p: float, whole_channels: bool, inverted: bool) -> None:
        super().__init__()
        self.p = p
        self.whole_channels = whole_channels
        self.inverted = inverted

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x if self.inverted else x * (1 - self.p)
        dropped = F.dropout2d(x, self.p) if self.whole_channels else F.dropout(x, self.p)
        return dropped if self.inverted else dropped * (1 - self.p)

    def extra_repr(self) -> str:
        form = "inverted" if self.inverted else "vanilla"
        return f"p={self.p}, {form}{', whole channels' if self.whole_channels else ''}"


def _drop_input(layer: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    # Through `layer`, not a closure: a deep copy of the network then uses its own dropout.
    return (layer.input_dropout(args[0]), *args[1:])


@dataclass
class DropConnect(Regularizer):
    """Zeroes weights, not activations, with probability `p` while training, and divides the others by 1-p.

    One mask a batch, where the paper draws one an image; at test all weights, whose mean the training weights have.
    Biases are left alone. The parameter `weight` becomes `parametrizations.weight.original`.
    Source: Wan et al. 2013.
    """

    draws_noise: ClassVar[bool] = True

    p: FractionBelowOne = 0.5
    layers: LayerKind = "linear"

    def attach(self, network: nn.Module) -> None:
        for layer in hidden_layers(network, self.layers, "reg.dropconnect.layers"):
            parametrize.register_parametrization(layer, "weight", WeightDropout(self.p))


class WeightDropout(nn.Dropout):
    """Dropout of a weight, as a parametrization of it."""

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


@dataclass
class StochasticDepth(Regularizer):
    """Drops whole residual branches in training; survival falls linearly with depth from 1 to `last_survival`.

    `p_l = 1 - (l / L) * (1 - last_survival)` for branch l of L; a survivor is divided by p_l, so that the mean is the
    test-time value (the paper multiplies at test instead). `mode`: `row` draws for each image, `batch` for all at once.
    Acts on our residual networks and torchvision's, by torchvision.ops.StochasticDepth. Source: Huang et al. 2016.
    """

    draws_noise: ClassVar[bool] = True

    last_survival: Annotated[float, Bounds(0, 1, low_open=True)] = 0.5
    mode: Literal["row", "batch"] = "row"

    def attach(self, network: nn.Module) -> None:
        from torchvision.ops import StochasticDepth as Drop

        built_in = [layer for layer in network.modules() if isinstance(layer, Drop)]
        ends = [end for block in network.modules() if (end := _branch_end(block)) is not None]
        if not built_in and not ends:
            raise UserError(
                "reg.stochastic_depth: nothing to act on: it needs residual blocks; choose model=resnet, say"
            )
        branches: list[Any] = built_in or ends
        for number, branch in enumerate(branches, 1):
            p = number / len(branches) * (1 - self.last_survival)
            if built_in:
                branch.p, branch.mode = p, self.mode
            elif isinstance(branch, nn.Sequential):
                branch.append(Drop(p, self.mode))
            else:
                branch.stochastic_depth = Drop(p, self.mode)
                branch.register_forward_hook(_drop_output)


def _branch_end(block: nn.Module) -> nn.Module | None:
    """The last layer of a block's residual branch, for torchvision's ResNet blocks and ours; None for other modules."""
    if type(block).__name__ not in ("BasicBlock", "Bottleneck"):
        return None
    layers = dict(block.named_children())
    return next((layers[name] for name in BRANCH_ENDS if name in layers), None)


def _drop_output(branch: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
    return branch.stochastic_depth(output)


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
