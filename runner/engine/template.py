"""One network that stands for those of T trials, in the form in which it maps over them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runner.engine.folded import mapping
from runner.engine.noise import STRIDE, WORD, Noise, drawn, scrambled
from runner.seeds import derive


class Template:
    """One network that stands for T: mapped over their tensors, with its noise layers in a form that maps too.

    Args:
        seeds: of each trial; its noise depends on its own alone.
    """

    def __init__(self, networks: Sequence[nn.Module], seeds: Sequence[int], device: torch.device) -> None:
        self.network = copy.deepcopy(networks[0])
        self.rates: dict[str, Tensor] = {}
        self.layers: dict[str, Noise] = {}
        self.keys = torch.tensor([derive(seed, "noise") & WORD for seed in seeds], device=device)
        for path, layer in list(self.network.named_modules()):
            noise = drawn(layer)
            if noise is not None:
                noise.number = len(self.layers)
                self._put(path, noise.to(device))
                self.layers[path] = noise
                rates = [float(getattr(network.get_submodule(path), "p", 0.0)) for network in networks]
                self.rates[f"{path}.rate"] = torch.tensor(rates, device=device)
            elif (form := mapping(layer)) is not None:
                self._put(path, form)

    def _put(self, path: str, layer: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        self.network.get_submodule(parent)._modules[name] = layer

    def drawing(self, trials: Tensor, number: int) -> dict[str, Tensor]:
        """The buffers [T] of the noise layers for those trials and the forward pass of that number."""
        if not self.layers:
            return {}
        for layer in self.layers.values():
            layer.num_draws = 0
        keys = scrambled((self.keys[trials] + number * STRIDE) & WORD)
        given = {name: rates[trials] for name, rates in self.rates.items()}
        return given | {f"{path}.key": keys for path in self.layers}
