"""A network as a table: each layer's name, output shape, parameters and multiply-adds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import UserError

KINDS = {nn.Conv2d: "conv", nn.Linear: "linear", nn.BatchNorm2d: "norm", nn.BatchNorm1d: "norm", nn.PReLU: "prelu"}


@dataclass(frozen=True)
class LayerSummary:
    """A layer: what it gives for one image, and what that takes.

    Args:
        shape: of its output, without the batch.
        multiply_adds: of convolutions and linear layers; those of others are not counted.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    num_parameters: int
    multiply_adds: int


@torch.no_grad()
def summarize(network: nn.Module, image_B1: Tensor) -> list[LayerSummary]:
    """The layers, which are the modules without modules below them, in the order in which an image [1, C, S, S] passes.

    A layer that is passed several times has one line, with the multiply-adds of all passes. Nothing of the network
    changes: it runs once in evaluation mode, and goes back to the mode that each of its modules was in.
    """
    shown = layer_names(network)
    names = {module: name for name, module in network.named_modules()}
    layers: dict[nn.Module, LayerSummary] = {}

    def note(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        count = sum(parameter.numel() for parameter in layer.parameters())
        before = layers[layer].multiply_adds if layer in layers else 0
        name = shown.get(names[layer], names[layer])
        shape = tuple(output.shape[1:])
        layers[layer] = LayerSummary(name, type(layer).__name__, shape, count, before + _multiply_adds(layer, output))

    with evaluating(network):
        hooks = [leaf.register_forward_hook(note) for leaf in _leaves(network)]
        try:
            network(image_B1)
        finally:
            for hook in hooks:
                hook.remove()
    return list(layers.values())


@torch.no_grad()
def check_network(network: nn.Module, image_B1: Tensor, num_classes: int) -> None:
    """Hold somebody's network to images of the data and to as many scores as there are classes.

    Raises:
        UserError: a layer cannot take what it gets, or the output has another shape.
    """
    shown = layer_names(network)
    names = {module: shown.get(name, name) for name, module in network.named_modules()}
    latest: list[str] = []

    def enter(layer: nn.Module, given: tuple[Any, ...]) -> None:
        shapes = [" x ".join(map(str, one.shape[1:])) for one in given if isinstance(one, Tensor)]
        latest[:] = [f"layer {names[layer] or 'itself'} ({type(layer).__name__}) got {', '.join(shapes) or 'nothing'}"]

    with evaluating(network):
        hooks = [leaf.register_forward_pre_hook(enter) for leaf in _leaves(network)]
        try:
            output = network(image_B1)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            where = latest[0] if latest else "it got " + " x ".join(map(str, image_B1.shape[1:]))
            raise UserError(f"model: {where} for each image, and failed ({' '.join(str(error).split())})") from error
        finally:
            for hook in hooks:
                hook.remove()
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if shape != (len(image_B1), num_classes):
        raise UserError(f"model: must give {num_classes} scores for each image, one a class; it gave {shape} for one")


def _leaves(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if next(module.children(), None) is None]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and then again the mode that each module was in."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _multiply_adds(layer: nn.Module, output_B1: Tensor) -> int:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        return output_B1.numel() * layer.weight[0].numel()  # a sum over one filter for each number that comes out
    return 0


def totals(layers: Sequence[LayerSummary], network: nn.Module) -> tuple[int, int]:
    """Parameters of the network, each once, and multiply-adds for one image."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters, sum(layer.multiply_adds for layer in layers)


def layer_names(network: nn.Module) -> dict[str, str]:
    """A name for each layer with parameters that says its kind where the network has only a number for it.

    >>> list(layer_names(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))).values())
    ['conv1', 'conv2']
    """
    names, counts = {}, Counter[str]()
    for path, layer in network.named_modules():
        if next(layer.parameters(recurse=False), None) is None:
            continue
        names[path] = path
        if path.rpartition(".")[2].isdecimal():
            kind = next((name for cls, name in KINDS.items() if isinstance(layer, cls)), type(layer).__name__.lower())
            counts[kind] += 1
            names[path] = ".".join(
                [*(part for part in path.split(".") if not part.isdecimal()), f"{kind}{counts[kind]}"]
            )
    return names


def parameter_names(network: nn.Module) -> dict[str, str]:
    """A name for each parameter: that of its layer, and its own.

    >>> list(parameter_names(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))).values())
    ['conv1.weight', 'conv1.bias', 'conv2.weight', 'conv2.bias']
    """
    layers = layer_names(network)
    split = {name: name.rpartition(".") for name, _ in network.named_parameters(remove_duplicate=False)}
    return {name: f"{layers[path]}{dot}{own}" for name, (path, dot, own) in split.items()}
