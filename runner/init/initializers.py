"""Initialization of the weights of linear and convolutional layers; biases start at 0.

`gain` scales the standard deviation. Other layers keep torch's own start, and trained layers what they have learned.
Layers that give class scores start small: then the scores are near 0 and the first loss is that of no knowledge,
ln K of K classes for the softmax and K - 1 for the hinge loss.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import nn

from runner.constraints import NonNegative, Positive
from runner.errors import UserError

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
KEPT = "keeps_weights"  # attribute of a layer whose weights are trained already: no initialization touches them
# Attribute of a layer: True where it gives class scores; without any, the network's last layer does. False where the
# network scales its scores down itself, which start near 0 then without more.
SCORES = "gives_scores"


class Initialization:
    """An initialization of a network, applied in place by calling it."""

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for layer in network.modules():
            if _is_new(layer):
                self.set_weight(layer)
                if layer.bias is not None:
                    layer.bias.zero_()

    def set_weight(self, layer: Layer) -> None:
        raise NotImplementedError


def score_layers(network: nn.Module) -> list[Layer]:
    """The layers that give class scores: those marked with `SCORES`, else the last linear or convolutional one."""
    layers = [layer for layer in network.modules() if isinstance(layer, Layer)]
    marked = [layer for layer in layers if getattr(layer, SCORES, False)]
    return marked or [layer for layer in layers[-1:] if getattr(layer, SCORES, True)]


def _is_new(layer: nn.Module) -> TypeGuard[Layer]:
    return isinstance(layer, Layer) and not getattr(layer, KEPT, False)


@dataclass
class Normal(Initialization):
    """Normal weights of a standard deviation given by the fan-in, the number of inputs that an output sums over.

    That of layers that give class scores is `score_gain / sqrt(fan_in)`, unless `score_gain` is None: the scores are
    then about `score_gain` times as large as the features.
    """

    gain: Positive = 1.0
    score_gain: NonNegative | None = 0.01

    slope = 0.0  # of the network's activations below 0, for those that look at it

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        self.slope = slope(network)
        super().__call__(network)
        if self.score_gain is not None:
            for layer in filter(_is_new, score_layers(network)):
                layer.weight.normal_(0.0, self.score_gain / fan_in(layer) ** 0.5)

    def set_weight(self, layer: Layer) -> None:
        layer.weight.normal_(0.0, self.gain * self.std(fan_in(layer)))

    def std(self, fan_in: int) -> float:
        raise NotImplementedError


def fan_in(layer: Layer) -> int:
    """How many inputs an output sums over."""
    return layer.weight[0].numel()


class Default(Initialization):
    """Each layer's own start, as torch (or the network's author) made it."""

    def __call__(self, network: nn.Module) -> None:
        pass


@dataclass
class Small(Normal):
    """Standard deviation 0.01 whatever the fan-in: activations and gradients of a deep network shrink to 0.

    Biases whose names match one of `unit_biases` (shell patterns) start at 1, which gives ReLUs positive inputs: with
    them it is AlexNet's start. `first_gain` is a further factor for the first layer: 255 gives pixels from 0 to 1 the
    effect of those from 0 to 255. Source: Krizhevsky et al. 2012, section 5.

    Raises:
        UserError: a pattern matches no bias.
    """

    score_gain: NonNegative | None = None
    unit_biases: Sequence[str] = ()
    first_gain: Positive = 1.0

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        super().__call__(network)
        for first in [layer for layer in network.modules() if isinstance(layer, Layer)][:1]:
            if _is_new(first):
                first.weight.mul_(self.first_gain)
        biases = {
            f"{path}.bias": layer.bias
            for path, layer in network.named_modules()
            if _is_new(layer) and layer.bias is not None
        }
        for pattern in self.unit_biases:
            names = fnmatch.filter(biases, pattern)
            if not names:
                raise UserError(
                    f"init.unit_biases: '{pattern}' matches no bias of a linear or convolutional layer; "
                    f"names look like {', '.join(list(biases)[:4])}"
                )
            for name in names:
                biases[name].fill_(1.0)

    def std(self, fan_in: int) -> float:
        return 0.01


@dataclass
class Large(Normal):
    """Standard deviation 1 whatever the fan-in: tanh units saturate, others blow up."""

    score_gain: NonNegative | None = None

    def std(self, fan_in: int) -> float:
        return 1.0


class Xavier(Normal):
    """Variance `1 / fan_in`: keeps the variance of activations through linear and tanh layers.

    The lectures' form of Xavier, elsewhere called LeCun's: LeCun et al. 1998, Efficient BackProp, equation 16. That of
    Glorot and Bengio 2010, equation 12, is `2 / (fan_in + fan_out)`, which keeps gradients too; the two are equal where
    a layer has as many outputs as inputs. Source: CS231n 2017, lecture 6.
    """

    def std(self, fan_in: int) -> float:
        return float((1 / fan_in) ** 0.5)


class He(Normal):
    """Variance `2 / ((1 + a^2) fan_in)`: the same for ReLU, which halves it, and for those of slope a below 0.

    a is that of leaky ReLUs, the first one of PReLUs, 1 without activation; 0 where activations have several.
    Source: He et al. 2015, Delving Deep into Rectifiers, equation 15.
    """

    def std(self, fan_in: int) -> float:
        return float((2 / (1 + self.slope**2) / fan_in) ** 0.5)


class Auto(Normal):
    """Xavier where every activation layer is a tanh or a sigmoid, for which He is not meant; else He."""

    def __call__(self, network: nn.Module) -> None:
        kind = Xavier if saturates(network) else He
        kind(self.gain, self.score_gain)(network)


def saturates(network: nn.Module) -> bool:
    """Whether a network has activation layers, and all of them are bounded on both sides."""
    kinds = {type(layer) for layer in network.modules() if type(layer).__module__ == nn.Tanh.__module__}
    return bool(kinds) and kinds <= {nn.Tanh, nn.Sigmoid}


def slope(network: nn.Module) -> float:
    """The slope below 0 that all activations of a network share; 0 where they share none."""
    found: set[float] = set()
    for layer in network.modules():
        own: Any = getattr(layer, "negative_slope", None)
        if isinstance(layer, nn.PReLU):
            found |= set(layer.weight.tolist())
        elif own is not None:
            found.add(float(own))
        elif type(layer).__module__ == nn.Tanh.__module__:
            found.add(0.0)
    return found.pop() if len(found) == 1 else 0.0


class Dirac(Initialization):
    """Convolutions that pass their input on: filter i is 1 at the middle of input map i, and 0 elsewhere.

    Filters beyond the number of input maps, and linear layers, keep torch's own start. With batch normalization and
    few layers it does what a residual connection would. Source: Zagoruyko and Komodakis 2017, DiracNets; Jordan 2024,
    arXiv 2404.00498.
    """

    def set_weight(self, layer: Layer) -> None:
        if not isinstance(layer, nn.Linear):
            for filters in layer.weight.chunk(layer.groups):
                nn.init.dirac_(filters[: filters.shape[1]])
