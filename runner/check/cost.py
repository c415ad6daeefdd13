"""What a training costs: parameters, multiply-adds, memory, images a second, and which part is the bottleneck.

B images, C channels, S by S pixels.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from runner.check.batch_size import LARGEST, largest_fitting
from runner.check.subject import Subject, names_of_layers
from runner.check.verdict import Check, Verdict
from runner.formatting import duration
from runner.model.summary import evaluating

FIRST, MEASURED = 2, 10  # updates: the slower first ones, and those that are timed
MAX_SECONDS = 10.0  # of each timing
BOTTLENECK = 1.2  # times slower than the step, from which on the data route holds it up
PROFILED = 4  # updates in the trace
COSTLIEST = 10
TRACE = "trace.json"
TABLE = "cost.txt"


@dataclass(frozen=True)
class LayerCost:
    """Of one image: the multiply-adds of a layer, and the bytes of its output."""

    name: str
    num_parameters: int
    multiply_adds: int
    output_bytes: int


def check(subject: Subject) -> Iterator[Check]:
    """Sizes, then speeds, then on a GPU the largest batch."""
    training = subject.fresh()
    network = training.state.network
    image, _ = subject.plain_batch(1)
    layers = layer_costs(network, image)
    batch_size = training.train.batch_size
    yield _sizes(subject, layers, network, batch_size)
    yield _speeds(subject)
    if subject.device.type == "cuda":
        yield _largest_batch(subject)
    if subject.profile:
        yield _profile(subject)
    subject.fresh()


def layer_costs(network: nn.Module, image_B1: Tensor) -> list[LayerCost]:
    """The layers without layers below them, in the order in which an image passes."""
    names = {module: name for module, name in names_of_layers(network).items() if next(module.children(), None) is None}
    paths = {module: path for path, module in network.named_modules()}
    outputs: dict[nn.Module, int] = {}
    hooks = []

    def note(layer: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[layer] = outputs.get(layer, 0) + output.numel() * output.element_size()

    for layer in names:
        hooks.append(layer.register_forward_hook(note))
    counter = FlopCounterMode(display=False)
    try:
        with evaluating(network), torch.no_grad(), counter:
            network(image_B1)
    finally:
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    root = type(network).__name__
    found = []
    for layer, size in outputs.items():
        operations = sum(counts.get(f"{root}.{paths[layer]}" if paths[layer] else root, {}).values())
        count = sum(parameter.numel() for parameter in layer.parameters())
        found.append(LayerCost(names[layer], count, operations // 2, size))
    return found


def _sizes(subject: Subject, layers: list[LayerCost], network: nn.Module, batch_size: int) -> Check:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    multiply_adds = sum(layer.multiply_adds for layer in layers)
    activations = sum(layer.output_bytes for layer in layers) * batch_size
    lines = [f"{'layer':<40} {'parameters':>14} {'multiply-adds':>16} {'MiB a batch':>12}"]
    for layer in layers:
        mib = layer.output_bytes * batch_size / 2**20
        lines.append(f"{layer.name:<40} {layer.num_parameters:>14,} {layer.multiply_adds:>16,} {mib:>12.2f}")
    mib = activations / 2**20
    lines.append(f"{'total':<40} {parameters:>14,} {multiply_adds:>16,} {mib:>12.2f}")
    subject.write(TABLE, "\n".join(lines) + "\n")
    measured = (
        f"{parameters:,} parameters, {multiply_adds:,} multiply-adds an image, {mib:,.1f} MiB of activations a batch"
    )
    values = {
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "activation_bytes": activations,
        "layers": [vars(layer) for layer in layers],
    }
    return Check("cost.network", "ok", measured, f"by layer: figures/{TABLE}", "", values)


def _speeds(subject: Subject) -> Check:
    """Images a second by the data route alone, by the step alone, and together."""
    training = subject.fresh()
    state, step = training.state, training.step
    wait = _waiting(subject.device)
    data = _timed((len(batch[1]) for batch in subject.batches()), wait)
    one = next(subject.batches())

    def repeat(batches: Iterator[tuple[Tensor, ...]]) -> Iterator[int]:
        for batch in batches:
            step(state, batch)
            yield len(batch[1])

    alone = _timed(repeat(one for _ in iter(int, 1)), wait)
    together = _timed(repeat(subject.batches()), wait)
    settings = training.settings
    images = settings.epochs * training.train.num_images
    if settings.max_steps is not None:
        images = min(images, settings.max_steps * training.train.batch_size)
    return verdict_on(data, alone, together, images)


def _timed(work: Iterator[int], wait: Any) -> float:
    """Images a second of work that gives how many it has done; the first few are not counted."""
    for _ in islice(work, FIRST):
        pass
    wait()
    began, count = time.perf_counter(), 0
    for number in islice(work, MEASURED):
        count += number
        if time.perf_counter() - began > MAX_SECONDS:
            break
    wait()
    return count / max(time.perf_counter() - began, 1e-9)


def _waiting(device: torch.device) -> Any:
    """What waits for the device."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None


def verdict_on(data: float, step: float, together: float, num_images: int) -> Check:
    """Of images a second by the data route, the step, and both; `num_images`: that the whole run trains on."""
    seconds = num_images / together
    measured = f"images a second: {data:,.0f} data alone, {step:,.0f} step alone, {together:,.0f} together"
    measured += f"; the run takes about {duration(seconds)} without validation"
    values = {"data": data, "step": step, "together": together, "seconds": seconds}
    expected = "the data route faster than the step"
    if data * BOTTLENECK < step:
        measured += "; the data route is the bottleneck"
        advice = "data.num_workers, data.cache, a smaller data.image_size, or fewer augmentations; --profile says more"
        return Check("cost.speed", "warning", measured, expected, advice, values)
    return Check("cost.speed", "ok", f"{measured}; the step is the bottleneck", expected, "", values)


def _largest_batch(subject: Subject) -> Check:
    """Double the batch until the memory of the GPU is used up."""
    training = subject.fresh()
    fits = largest_fitting(training)
    current = training.train.batch_size
    measured = f"a batch of {fits:,} fits, the next double does not" if fits < LARGEST else f"{fits:,} fit, and more"
    verdict: Verdict = "ok" if fits >= current else "wrong"
    advice = "" if fits else f"data.batch_size={current} does not fit: lower it, and raise engine.accumulate_steps"
    return Check("cost.batch", verdict, measured, f"at least {current}", advice, {"largest": fits})


def _profile(subject: Subject) -> Check:
    """Write a trace of a few updates, and name the costliest operations."""
    from torch.profiler import ProfilerActivity, profile

    training = subject.fresh()
    state = training.state
    activities = [ProfilerActivity.CPU]
    if subject.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    batches = subject.batches()
    for batch in islice(batches, FIRST):
        training.step(state, batch)
    with profile(activities=activities) as profiler:
        for batch in islice(batches, PROFILED):
            training.step(state, batch)
        _waiting(subject.device)()
    on = "self_device_time_total" if subject.device.type == "cuda" else "self_cpu_time_total"
    averages = profiler.key_averages()
    rows = sorted(averages, key=lambda event: getattr(event, on), reverse=True)[:COSTLIEST]
    total = sum(getattr(event, on) for event in averages) or 1
    costliest = [{"name": event.key, "share": getattr(event, on) / total, "calls": event.count} for event in rows]
    if subject.folder is not None:
        path = subject.folder.path / TRACE
        profiler.export_chrome_trace(str(path))
        json.loads(path.read_text())  # what Perfetto could not open shall be said here
        table = "\n".join(f"{row['share']:>7.1%} {row['calls']:>8,} calls  {row['name']}" for row in costliest)
        subject.write("profile.txt", table + "\n")
    measured = ", ".join(f"{row['name']} {row['share']:.0%}" for row in costliest[:3])
    expected = f"{TRACE} for Perfetto or TensorBoard; the ten costliest: figures/profile.txt"
    return Check("cost.profile", "ok", measured, expected, "", {"costliest": costliest})
