"""Whether two short runs of one seed are the same to the bit, and where they part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from runner.check.subject import Subject, names_of_layers
from runner.check.verdict import Check, Verdict

NUM_UPDATES = 5


@dataclass(frozen=True)
class Trace:
    """Of one update: a sum over the bits of the images, of each layer's output, of the loss, and of each weight."""

    images: int
    layers: Sequence[tuple[str, int]]
    weights: Mapping[str, int]


def check(subject: Subject) -> Iterator[Check]:
    """Make the same few updates twice."""
    one, two = _run(subject), _run(subject)
    yield verdict_on(first_difference(one, two), len(one), subject.training.settings.deterministic)


def _run(subject: Subject) -> list[Trace]:
    training = subject.fresh()
    state = training.state
    traces = []
    for batch in islice(subject.batches(), NUM_UPDATES):
        layers: list[tuple[str, int]] = []
        hooks = [
            layer.register_forward_hook(_note(name, layers))
            for layer, name in names_of_layers(state.network).items()
            if next(layer.children(), None) is None
        ]
        training.step(state, batch)
        for hook in hooks:
            hook.remove()
        weights = {name: bits(parameter) for name, parameter in state.network.named_parameters()}
        traces.append(Trace(bits(batch[0]), layers, weights))
    return traces


def _note(name: str, layers: list[tuple[str, int]]) -> Any:
    def hook(layer: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            layers.append((name, bits(output)))

    return hook


def bits(tensor: Tensor) -> int:
    """A sum of the tensor's bits, each weighted by its place: of two tensors that differ it differs almost surely."""
    flat = tensor.detach().contiguous().flatten()
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    kind = kinds.get(flat.element_size())
    whole = (flat.view(kind) if kind else flat).to(torch.int64)
    weights = torch.arange(1, whole.numel() + 1, device=whole.device) * 2654435761 % 2**31
    return int((whole * weights).sum())


def first_difference(one: Sequence[Trace], two: Sequence[Trace]) -> str | None:
    """Where two runs part, in words; None where they do not."""
    for number, (a, b) in enumerate(zip(one, two, strict=True), 1):
        if a.images != b.images:
            return f"the images of update {number}"
        for (name, bits_a), (_, bits_b) in zip(a.layers, b.layers, strict=False):
            if bits_a != bits_b:
                return f"the output of {name} in update {number}"
        if [name for name, _ in a.layers] != [name for name, _ in b.layers]:
            return f"the layers that update {number} passes through"
        # Weights in the order of the backward pass, which begins at the scores.
        for name in reversed(list(a.weights)):
            if a.weights[name] != b.weights[name]:
                return f"the gradient of {name} in update {number}"
    return None


def verdict_on(where: str | None, num_updates: int, deterministic: bool) -> Check:
    """`where`: the first difference."""
    expected = "the same bits"
    if where is None:
        return Check("reproducibility.bits", "ok", f"{num_updates} updates twice, the same to the bit", expected)
    verdict: Verdict = "wrong" if deterministic else "warning"
    advice = (
        "engine.deterministic=true" if not deterministic else "draw from torch's generators, and from no other clock"
    )
    return Check("reproducibility.bits", verdict, f"they part at {where}", expected, advice, {"first": where})
