"""The blocks of a network, and what is frozen of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from runner.init.initializers import score_layers
from runner.optimizer.param_groups import LR_SCALE, NORM_LAYERS, START, layers_of
from runner.transfer.strategies import Rate


@dataclass(frozen=True)
class Blocks:
    """The parameters of a network that is fine-tuned.

    Args:
        head: those of the layers that give class scores, and of layers without trained weights.
        blocks: the others, by block, from the first to the last.
    """

    head: Sequence[nn.Parameter]
    blocks: Sequence[Sequence[nn.Parameter]]


def blocks_of(network: nn.Module, new: Iterable[str] = ()) -> Blocks:
    """`new`: names of parameters without trained weights. Parameters that never learn are in no block."""
    named = dict(network.named_parameters())
    head = {id(parameter) for layer in score_layers(network) for parameter in layer.parameters()}
    head |= {id(named[name]) for name in new if name in named}
    learning = {id(parameter) for parameter in named.values() if parameter.requires_grad}
    layers = [[tensor for tensor in layer if id(tensor) in learning - head] for layer in layers_of(network)]
    first = [parameter for parameter in named.values() if id(parameter) in head & learning]
    return Blocks(first, [_parameters(layer) for layer in layers if layer])


def _parameters(layer: Sequence[Tensor]) -> list[nn.Parameter]:
    return [tensor for tensor in layer if isinstance(tensor, nn.Parameter)]


def freeze(blocks: Blocks, rates: Sequence[Rate | None]) -> None:
    """Mark each block's parameters with how they learn; those that never do take no gradient."""
    for block, rate in zip(blocks.blocks, rates, strict=True):
        for parameter in block:
            if rate is None:
                parameter.requires_grad_(False)
            else:
                setattr(parameter, LR_SCALE, rate.scale)
                setattr(parameter, START, rate.start_epochs)


def frozen_norms(network: nn.Module, blocks: Blocks) -> dict[str, list[nn.Parameter]]:
    """Normalization layers with running statistics that do not learn at first, by name.

    With the parameters that say when they begin to: their own, else those of the module around them.
    """
    later = {
        id(parameter)
        for block in blocks.blocks
        for parameter in block
        if not parameter.requires_grad or getattr(parameter, START, 0) > 0
    }
    found: dict[str, list[nn.Parameter]] = {}
    for path, layer in network.named_modules():
        if not isinstance(layer, NORM_LAYERS) or getattr(layer, "running_mean", None) is None:
            continue
        deciding, around = list(layer.parameters()), path
        while not deciding and around:
            around = around.rpartition(".")[0]
            deciding = list(network.get_submodule(around).parameters())
        if deciding and all(id(parameter) in later for parameter in deciding):
            found[path] = deciding
    return found
