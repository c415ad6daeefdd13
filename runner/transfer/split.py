"""A network in two: the frozen part, whose outputs stay the same, and the rest.

`torch.fx` traces how values flow from module to module. A value is frozen if it follows from the images by frozen
modules alone, without noise. Where one frozen value feeds all that is not, the network is cut there.
"""

from typing import Any

import torch
from torch import nn

NOISY = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU)


class Split:
    """`network(images) == rest(frozen(images))`, with shared modules.

    Attributes:
        frozen: from images to what is the same at every update.
        rest: from that to what the network gives.
        cut: the name of the value in between.
    """

    def __init__(self, frozen: nn.Module, rest: nn.Module, cut: str) -> None:
        self.frozen, self.rest, self.cut = frozen, rest, cut


def split(network: nn.Module, cut_at: str | None = None) -> Split | None:
    """The network, in two; None where it has no frozen part, or cannot be cut by one value.

    `cut_at`: the name of the value to cut at, as of another split of such a network.
    """
    try:
        graph: Any = _Tracer().trace(network)
    except Exception:  # a network may do anything in its forward pass, and not all of it can be traced
        return None
    if cut_at is not None:
        found = [node for node in graph.nodes if node.name == cut_at]
        return Split(_before(network, graph, found[0]), _after(network, graph, found[0]), cut_at) if found else None
    frozen: set[Any] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or (node.op != "output" and _is_frozen(node, network, frozen)):
            frozen.add(node)
    cuts = [node for node in graph.nodes if node in frozen and any(user not in frozen for user in node.users)]
    if len(cuts) != 1 or cuts[0].op == "placeholder":
        return None
    (cut,) = cuts
    if not any(node.op == "call_module" and node in frozen for node in graph.nodes):
        return None
    return Split(_before(network, graph, cut), _after(network, graph, cut), cut.name)


def _is_frozen(node: Any, network: nn.Module, frozen: set[Any]) -> bool:
    if not all(source in frozen for source in node.all_input_nodes):
        return False
    if node.op == "get_attr":
        owner: Any = network
        for part in str(node.target).split("."):
            owner = getattr(owner, part)
        return not (isinstance(owner, torch.Tensor) and owner.requires_grad)
    if node.op != "call_module":
        return "dropout" not in str(node.target)
    module = network.get_submodule(str(node.target))
    if any(parameter.requires_grad for parameter in module.parameters()):
        return False
    return not any(_is_noisy(layer) for layer in module.modules())


def _is_noisy(layer: nn.Module) -> bool:
    """Whether it draws, or learns without parameters: a normalization that is not held."""
    kind = type(layer)
    if isinstance(layer, NOISY):
        return bool(getattr(layer, "p", 1.0))
    if getattr(layer, "running_mean", None) is not None:
        return layer.training
    return kind.__module__.startswith("runner.reg") or "drop" in kind.__name__.lower()


class _Tracer(torch.fx.Tracer):
    """Takes modules without children, and those that other hooks act in, as wholes."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if m._forward_pre_hooks or m._forward_hooks or "parametrizations" in m._modules:
            return True
        return not any(True for _ in m.children()) or super().is_leaf_module(m, module_qualified_name)


def _before(network: nn.Module, graph: Any, cut: Any) -> nn.Module:
    """The graph from the images to the cut."""
    part = torch.fx.Graph()
    copies: dict[Any, Any] = {}
    for node in graph.nodes:
        copies[node] = part.node_copy(node, lambda other: copies[other])
        if node is cut:
            break
    part.output(copies[cut])
    return torch.fx.GraphModule(network, part)


def _after(network: nn.Module, graph: Any, cut: Any) -> nn.Module:
    """The graph from the cut to the output."""
    part = torch.fx.Graph()
    copies: dict[Any, Any] = {cut: part.placeholder("features")}
    needed: set[Any] = set()
    pending = [node for node in graph.nodes if node.op == "output"]
    while pending:
        node = pending.pop()
        if node not in needed and node is not cut:
            needed.add(node)
            pending += node.all_input_nodes
    for node in graph.nodes:
        if node in needed:
            copies[node] = part.node_copy(node, lambda other: copies[other])
    return torch.fx.GraphModule(network, part)
