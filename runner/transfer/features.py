"""A linear classifier on the features of one stage of a network."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import UserError, did_you_mean
from runner.init.initializers import SCORES

TRUNK = "trunk"  # whose layers have the names that they have in the whole network


class StageFeatures(nn.Module):
    """Images to class scores [B, K]: a network up to a stage, its maps averaged over their places, a linear layer."""

    def __init__(self, trunk: nn.Module, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.pool = Pool()
        self.linear = nn.Linear(num_features, num_classes)
        setattr(self.linear, SCORES, True)

    def forward(self, images_BCSS: Tensor) -> Tensor:
        return self.linear(self.pool(self.trunk(images_BCSS)))


class Pool(nn.Module):
    """Features [B, F] of maps [B, F, H, W], of tokens [B, N, F], or as they are."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4:
            return x.mean(dim=(2, 3))
        return x.mean(dim=1) if x.ndim == 3 else x


def up_to(network: nn.Module, stage: str) -> nn.Module:
    """The network up to the output of its layer of that name; the names of its layers stay.

    Raises:
        UserError: there is no such layer, or its output cannot be reached.
    """
    names = [name for name, _ in network.named_modules() if name]
    if stage not in names:
        known = [name for name, _ in network.named_children()]
        raise UserError(f"transfer.stage: the network has no layer '{stage}'{did_you_mean(stage, known)}")
    tracer = _AtStage(stage)
    try:
        graph: Any = tracer.trace(network)
    except Exception as error:
        raise UserError(f"transfer.stage: this network cannot be cut at a stage ({type(error).__name__})") from error
    ends = [node for node in graph.nodes if node.op == "call_module" and node.target == stage]
    if len(ends) != 1:
        raise UserError(f"transfer.stage: '{stage}' is no single step of the network; name a layer around it")
    part = torch.fx.Graph()
    copies: dict[Any, Any] = {}
    needed = _needed(ends[0])
    for node in graph.nodes:
        if node in needed:
            copies[node] = part.node_copy(node, lambda other: copies[other])
    part.output(copies[ends[0]])
    return torch.fx.GraphModule(network, part)


def _needed(end: Any) -> set[Any]:
    found: set[Any] = set()
    pending: list[Any] = [end]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += node.all_input_nodes
    return found


class _AtStage(torch.fx.Tracer):
    """Looks into the modules around a stage alone."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        parts = stage.split(".")
        self.around: Iterable[str] = {".".join(parts[:count]) for count in range(len(parts))}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.around
