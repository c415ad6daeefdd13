"""What is said before a training begins: data, network, device, and where it goes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from runner.data import Data
from runner.data.loader import InMemoryLoader
from runner.engine.loop import Training
from runner.model.summary import LayerSummary, summarize, totals


def network_layers(training: Training) -> list[LayerSummary]:
    """The layers of the network, for one image."""
    return summarize(training.state.of(0).network, next(training.train.of(0).sample(1)))


def print_header(
    console: Console, training: Training, dataset: Data, layers: Sequence[LayerSummary], folder: Path | None = None
) -> None:
    """Print a line for each of them."""
    lines = [*_lines(training, dataset, layers), *([("folder", str(folder))] if folder else [])]
    for name, text in lines:
        console.print(f"{name:<8} {text}", highlight=False, markup=False, soft_wrap=True)


def _lines(training: Training, dataset: Data, layers: Sequence[LayerSummary]) -> Iterator[tuple[str, str]]:
    batches, state = training.train.of(0), training.state
    test = dataset.num_test_images
    counts = [f"{batches.total_images:,} train", f"{training.evaluate.batches.total_images:,} val"]
    counts.append("no test" if test is None else f"{test:,} test")
    shape = " x ".join(map(str, dataset.image_shape))
    yield "data", f"{', '.join(counts)} images; {len(training.class_names)} classes; {shape}"
    yield from dataset.about()
    parameters, multiply_adds = totals(layers, state.of(0).network)
    stem = getattr(state.of(0).network, "stem_form", None)
    form = f", {stem} stem" if stem else ""
    yield "network", f"{parameters:,} parameters, {count_text(multiply_adds)} multiply-adds per image{form}"
    yield from training.about
    yield "device", ", ".join(_device(training, batches.loader))


def _device(training: Training, loader: object) -> Iterator[str]:
    device = training.state.device
    if device.type == "cuda":
        yield f"{device} ({torch.cuda.get_device_name(device)})"
    else:
        threads = torch.get_num_threads()
        yield f"{device} ({threads} thread{'s' * (threads > 1)})" if device.type == "cpu" else str(device)
    yield training.state.precision.name
    if isinstance(loader, InMemoryLoader):
        yield "images in memory"
    else:
        workers = getattr(loader, "num_workers", 0)
        yield f"images read by {workers} worker processes" if workers else "images read by the main process"


def print_layers(console: Console, layers: Sequence[LayerSummary], network: torch.nn.Module) -> None:
    """Print the network as a table."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    parameters, multiply_adds = totals(layers, network)
    table.add_column("layer", "total")
    table.add_column("kind")
    table.add_column("output")
    table.add_column("parameters", f"{parameters:,}", justify="right")
    table.add_column("multiply-adds", f"{multiply_adds:,}", justify="right")
    for layer in layers:
        shape = " x ".join(map(str, layer.shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.num_parameters:,}", f"{layer.multiply_adds:,}")
    console.print(table, highlight=False, markup=False)


def count_text(count: int) -> str:
    """A large number in three digits: 1,234, 56.7 k, 8.9 M, 1.2 G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**4)):
        if count >= size:
            return f"{count / (1000 if unit == 'k' else size):.3g} {unit}"
    return f"{count:,}"
