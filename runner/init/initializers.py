"""Initialization of the weights of linear and convolutional layers; biases start at 0.

`gain` scales the standard deviation. Other layers keep torch's own start, and trained layers what they have learned.
"""

from dataclasses import dataclass

import torch
from torch import nn

from runner.constraints import Positive

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
KEPT = "keeps_weights"  # attribute of a layer whose weights are trained already: no initialization touches them


class Initialization:
    """An initialization of a network, applied in place by calling it."""

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for layer in network.modules():
            if isinstance(layer, Layer) and not getattr(layer, KEPT, False):
                self.set_weight(layer)
                if layer.bias is not None:
                    layer.bias.zero_()

    def set_weight(self, layer: Layer) -> None:
        raise NotImplementedError


@dataclass
class Normal(Initialization):
    """Normal weights of a standard deviation given by the fan-in, the number of inputs that an output sums over."""

    gain: Positive = 1.0

    def set_weight(self, layer: Layer) -> None:
        layer.weight.normal_(0.0, self.gain * self.std(layer.weight[0].numel()))

    def std(self, fan_in: int) -> float:
        raise NotImplementedError


class Default(Initialization):
    """Each layer's own start, as torch (or the network's author) made it."""

    def __call__(self, network: nn.Module) -> None:
        pass


class Small(Normal):
    """Standard deviation 0.01 whatever the fan-in: activations and gradients of a deep network shrink to 0."""

    def std(self, fan_in: int) -> float:
        return 0.01


class Large(Normal):
    """Standard deviation 1 whatever the fan-in: tanh units saturate, others blow up."""

    def std(self, fan_in: int) -> float:
        return 1.0


class Xavier(Normal):
    """Variance `1 / fan_in`: keeps the variance through linear and tanh layers. Glorot and Bengio 2010."""

    def std(self, fan_in: int) -> float:
        return float((1 / fan_in) ** 0.5)


class He(Normal):
    """Variance `2 / fan_in`: the same for ReLU, which halves it. He et al. 2015."""

    def std(self, fan_in: int) -> float:
        return float((2 / fan_in) ** 0.5)


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
