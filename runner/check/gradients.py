"""Whether the backward pass is the derivative of the forward pass, and whom it reaches.

B images, K classes. Relative errors and thresholds are those of the lectures (CS231n, Neural Networks 3, gradient
checks): below 1e-7 good, to 1e-4 as it may be with kinks, above 1e-2 wrong.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from runner.check.subject import Subject, loss_of, same_noise
from runner.check.verdict import Check, Verdict, listed
from runner.model.summary import parameter_names

NUM_IMAGES = 4
STEP = 1e-5  # of a central difference, relative to a weight of 1
UNEASY, WRONG = 1e-4, 1e-2  # relative errors
NOISE = 1e-6  # gradient, below which the rounding of a loss of 1 counts
PER_TENSOR = 3  # parameters of a tensor that are tried, while the time lasts
MAX_SECONDS = 5.0
UPDATES = 3  # after which a gradient that is still 0 was not a branch that began at 0


@dataclass(frozen=True)
class Difference:
    """Of one parameter: what the backward pass says, and the central difference."""

    name: str
    analytic: float
    numerical: float
    error: float
    kink: bool = False


def check(subject: Subject) -> Iterator[Check]:
    """The flow of gradients, and a sample of them against differences."""
    yield from _flow(subject)
    network = subject.fresh().state.network
    images, labels = subject.plain_batch(NUM_IMAGES)
    if subject.device.type == "mps":
        yield Check("gradients.numerical", "skipped", "the device has no float64")
        return
    exact = copy.deepcopy(network).double()
    criterion = copy.deepcopy(subject.criterion).double()
    try:
        with same_noise(subject.device):
            loss_of(exact, criterion, images.double(), labels)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        yield Check("gradients.numerical", "skipped", f"the network does not take float64 ({reason})")
        return
    differences = compare(exact, criterion, images.double(), labels)
    yield verdict_on(differences, sum(1 for p in network.parameters() if p.requires_grad))


def _flow(subject: Subject) -> Iterator[Check]:
    training = subject.fresh()
    state = training.state
    network = state.network
    start = after = None
    for batch in islice(subject.batches(), UPDATES):
        training.step(state, batch)
        after = reached(network)
        start = start or after
    assert start is not None
    assert after is not None
    frozen = [name for name, parameter in _named(network) if not parameter.requires_grad]
    yield flow(frozen, shared(network), start, after)


def reached(network: nn.Module) -> dict[str, str]:
    """Of each trainable parameter: whether its gradient is `absent`, `zero` or `there`, after a backward pass."""
    found = {}
    for name, parameter in _named(network):
        if parameter.requires_grad:
            gradient = parameter.grad
            found[name] = "absent" if gradient is None else "there" if bool(gradient.any()) else "zero"
    return found


def _named(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    shown = parameter_names(network)
    return [(shown[name], parameter) for name, parameter in network.named_parameters()]


def shared(network: nn.Module) -> list[tuple[str, ...]]:
    """Names of parameters that are one tensor."""
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [tuple(group) for group in names.values() if len(group) > 1]


def flow(frozen: Sequence[str], ties: Sequence[tuple[str, ...]], start: dict[str, str], after: dict[str, str]) -> Check:
    """Whom the gradient reaches: in the first update, and in the last of a few."""
    unused = [name for name in after if start.get(name) == after[name] == "absent"]
    zero = [name for name in after if after[name] == "zero"]
    parts = [f"{sum(state == 'there' for state in after.values())} of {len(after)} parameters have a gradient"]
    parts += [f"frozen: {listed(frozen)}"] if frozen else []
    parts += [f"shared: {listed(' = '.join(group) for group in ties)}"] if ties else []
    parts += [f"unused: {listed(unused)}"] if unused else []
    parts += [f"zero: {listed(zero)}"] if zero else []
    values = {"frozen": list(frozen), "unused": unused, "zero": zero, "shared": [list(group) for group in ties]}
    expected = "a gradient for every parameter that is trained"
    if unused:
        advice = f"forward does not use {listed(unused)}: call the layer, or remove it"
        return Check("gradients.flow", "wrong", "; ".join(parts), expected, advice, values)
    if zero:
        advice = "what comes after it is dead, or its weights are zero: see layers, and init=auto"
        return Check("gradients.flow", "wrong", "; ".join(parts), expected, advice, values)
    return Check("gradients.flow", "ok", "; ".join(parts), expected, "", values)


def compare(network: nn.Module, criterion: Callable[..., Tensor], images: Tensor, labels: Tensor) -> list[Difference]:
    """Central differences of the loss by some parameters of every tensor, in the precision of the network.

    The largest gradient of each tensor comes first, then two of its other parameters while the time lasts.
    """
    device = images.device

    def loss() -> float:
        with torch.no_grad(), same_noise(device):
            return loss_of(network, criterion, images, labels).item()

    network.zero_grad()
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with same_noise(device):
        loss_of(network, criterion, images, labels).backward()
    shown = parameter_names(network)
    tensors = [(shown[name], p) for name, p in network.named_parameters() if p.requires_grad]
    draw = torch.Generator().manual_seed(0)
    found: list[Difference] = []
    began = time.perf_counter()
    for number in range(PER_TENSOR):
        for name, parameter in tensors:
            if number and time.perf_counter() - began > MAX_SECONDS:
                break
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            flat = gradient.flatten()
            place = int(flat.abs().argmax()) if number == 0 else int(torch.randint(flat.numel(), (), generator=draw))
            place_name = f"{name}[{place}]"
            found.append(_difference(place_name, parameter, place, flat[place].item(), loss))
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    return found


@torch.no_grad()
def _difference(name: str, parameter: Tensor, place: int, analytic: float, loss: Callable[[], float]) -> Difference:
    index = _index(parameter, place)
    value = parameter[index].item() if parameter.ndim else parameter.item()

    def at(shift: float) -> float:
        _put(parameter, index, value + shift)
        try:
            return loss()
        finally:
            _put(parameter, index, value)

    step = STEP * max(1.0, abs(value))
    low, high = at(-step), at(step)
    numerical = (high - low) / (2 * step)
    error = relative_error(analytic, numerical)
    if error <= UNEASY:
        return Difference(name, analytic, numerical, error)
    # A kink within the step: a smaller step does not reach it, or if it lies right here, the two sides differ.
    middle, small = at(0.0), step / 100
    sides = [(middle - low) / step, (high - middle) / step]
    near_low, near_high = at(-small), at(small)
    near = [(middle - near_low) / small, (near_high - middle) / small, (near_high - near_low) / (2 * small)]
    if relative_error(analytic, near[2], NOISE * 100) <= UNEASY:
        return Difference(name, analytic, numerical, error, kink=True)
    bent = relative_error(*sides) > 10 * UNEASY
    smallest = min(relative_error(analytic, slope, NOISE * 100) for slope in (*near, *sides))
    return Difference(name, analytic, numerical, error, kink=bent and smallest <= 10 * UNEASY)


def _index(parameter: Tensor, place: int) -> Any:
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(place), parameter.shape))


def _put(parameter: Tensor, index: Any, value: float) -> None:
    parameter[index] = value


def relative_error(a: float, b: float, floor: float = NOISE) -> float:
    """`|a - b| / max(|a|, |b|)`, where one of them is above the noise of the loss.

    >>> relative_error(1.0, 1.01), relative_error(0.0, 1e-9)
    (0.009900990099009908, 0.001)
    """
    return abs(a - b) / max(abs(a), abs(b), floor)


def verdict_on(differences: Sequence[Difference], num_tensors: int) -> Check:
    """Of the differences of a network's parameters."""
    name = "gradients.numerical"
    if not differences:
        return Check(name, "skipped", "the network has no parameter that is trained")
    smooth = [one for one in differences if not one.kink]
    kinks = len(differences) - len(smooth)
    worst = max(smooth, key=lambda one: one.error, default=differences[0])
    measured = (
        f"largest relative error {worst.error:.1e} ({worst.name}), of {len(differences)} in {num_tensors} tensors"
    )
    measured += f"; {kinks} at a kink" if kinks else ""
    expected = f"at most {UNEASY:g}; above {WRONG:g} is wrong"
    values = {"error": worst.error, "analytic": worst.analytic, "numerical": worst.numerical, "kinks": kinks}
    verdict: Verdict = "ok" if worst.error <= UNEASY or not smooth else "wrong" if worst.error > WRONG else "warning"
    layers = list(dict.fromkeys(one.name.partition("[")[0] for one in smooth if one.error > UNEASY))
    advice = f"a backward pass is not the derivative: of {listed(layers)}, or of a layer after it" if layers else ""
    return Check(name, verdict, measured, expected, advice, values)
