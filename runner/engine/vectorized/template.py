"""One network, loss or regularizer that stands for those of T trials, in the form in which it maps over them."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from runner.engine.step import Step
from runner.engine.vectorized.layers import vmap_layer
from runner.engine.vectorized.noise import STRIDE, WORD, Noise, drawn, scrambled
from runner.errors import CannotVectorize
from runner.seeds import derive

Numbers = dict[str, Tensor]  # each [T], or that of one trial


class Template:
    """One network that stands for T: mapped over their tensors, with its noise layers in a form that maps too.

    Args:
        seeds: of each trial; its noise depends on its own alone.

    Raises:
        CannotVectorize: the networks differ in more than their tensors and the rates of known noise.
    """

    def __init__(self, networks: Sequence[nn.Module], seeds: Sequence[int], device: torch.device) -> None:
        for network in networks[1:]:
            _check_alike(networks[0], network)
        self.network = copy.deepcopy(networks[0])
        self.rates: dict[str, Tensor] = {}
        self.layers: dict[str, Noise] = {}
        self.keys = torch.tensor([derive(seed, "noise") & WORD for seed in seeds], device=device)
        for path, layer in list(self.network.named_modules()):
            noise = drawn(layer)
            if noise is not None:
                noise.number = len(self.layers)
                self.network.set_submodule(path, noise.to(device))
                self.layers[path] = noise
                rates = [float(getattr(network.get_submodule(path), "p", 0.0)) for network in networks]
                self.rates[f"{path}.rate"] = torch.tensor(rates, device=device)
            elif (form := vmap_layer(layer)) is not None:
                self.network.set_submodule(path, form)

    def drawing(self, trials: Tensor, number: int) -> dict[str, Tensor]:
        """The buffers [T] of the noise layers for those trials and the forward pass of that number."""
        if not self.layers:
            return {}
        for layer in self.layers.values():
            layer.num_draws = 0
        keys = scrambled((self.keys[trials] + number * STRIDE) & WORD)
        given = {name: rates[trials] for name, rates in self.rates.items()}
        return given | {f"{path}.key": keys for path in self.layers}


def _check_alike(one: nn.Module, other: nn.Module) -> None:
    """Refuse networks of which one cannot stand for the other, naming the layer and what differs."""
    layers, others = dict(one.named_modules()), dict(other.named_modules())
    if layers.keys() != others.keys():
        path = min(layers.keys() ^ others.keys())
        raise CannotVectorize(f"model: some of the trials have a layer {path} and others have none")
    for path, layer in layers.items():
        # By name: a layer with parametrizations has a class of its own.
        if type(layer).__qualname__ != type(others[path]).__qualname__:
            raise CannotVectorize(f"model: layer {path} is of another class in the next trial")
        for name, value in vars(layer).items():
            is_rate = name == "p" and drawn(layer) is not None
            is_plain = isinstance(value, int | float | str | tuple | list | dict | Tensor | None)
            if is_plain and not (name.startswith("_") or is_rate or same(value, vars(others[path]).get(name))):
                raise CannotVectorize(
                    f"model: {name} of layer {path or type(layer).__name__} differs between the trials"
                )


class BatchedObject:
    """Objects of T trials, of one class, that differ in numbers: one of them stands for all, given its numbers.

    Raises:
        CannotVectorize: they differ in something else.
    """

    def __init__(self, key: str, members: Sequence[Any], device: torch.device) -> None:
        self.first = members[0]
        self.numbers: Numbers = {}
        if any(type(member) is not type(self.first) for member in members):
            raise CannotVectorize(f"{key}: {type(self.first).__name__} in one trial is another class in the next")
        for name, value in vars(self.first).items():
            values = [vars(member)[name] for member in members]
            if all(same(value, other) for other in values):
                continue
            if not all(type(other) in (int, float) for other in values):
                raise CannotVectorize(f"{key}: {name} of {type(self.first).__name__} differs and is no plain number")
            self.numbers[name] = torch.tensor(values, dtype=torch.float32, device=device)

    def with_numbers(self, numbers: Numbers) -> Any:
        if not numbers:
            return self.first
        made = copy.copy(self.first)
        vars(made).update(numbers)
        return made


def batched_criteria(steps: Sequence[Step], device: torch.device) -> BatchedObject:
    """The losses of the steps as one, in the form that maps over trials best."""
    return BatchedObject("loss", [vmap_layer(step.criterion) or step.criterion for step in steps], device)


def same(one: Any, other: Any) -> bool:
    """Whether two are equal, tensors inside them too."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, nn.Module):
        return type(one) is type(other) and same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)
