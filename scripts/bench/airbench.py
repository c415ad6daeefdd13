"""The record's recipe: experiment=airbench94 beside the script airbench94.py, seed by seed in one process.

Test accuracy over ten seeds, and the cost of a training; a first run of each warms up and does not count.

the script                       `main` of --original on the same images; needs a GPU. Its seconds are by its own clock:
                                 whitening, training and test. Its CPU seconds are of the whole call
runner                           `runner.train` with default settings, then the test: copying the images from the host's
                                 memory, whitening, training, checkpoints and logs
runner, everything switched off  the same without checkpoints and logs
"""

import argparse
import contextlib
import importlib.util
import io
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import runner
from bench.harness import CUDA, Cost, Row, built_with, cost_of, hushed, median, num_turns, ratios, take_turns, turns_of
from runner import build
from runner.engine.checkpoint import Checkpoints
from runner.engine.loop import Training, fit
from runner.signals import Stop

Run = Callable[[int], tuple[float, Cost]]  # a seed to the test accuracy and the cost
SMALL = ["data=synthetic", "data.num_images=80", "data.image_size=32", "data.batch_size=32", "model.channels=[8,8,8]"]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--original", type=Path, metavar="airbench94.py", help="the record's script, for airbench")
    parser.add_argument("--cifar10", type=Path, metavar="FOLDER", help="CIFAR-10 as folders of classes, for airbench")


def measure(options: argparse.Namespace) -> list[Row]:
    """Accuracy and seconds, and ratios to the first contestant."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: Contestant(run) for name, run in contestants(options, Path(folder)).items()}
        measured = take_turns(found, 1 + num_turns(options, 10))
    measured = {name: costs[1:] for name, costs in measured.items()}
    to_first = ratios(measured, next(iter(found)))
    rows = []
    for name, costs in measured.items():
        accuracies = found[name].accuracies[1:]
        row = {"by": name, "accuracy": statistics.mean(accuracies), "std": statistics.pstdev(accuracies)}
        row |= {"seconds": median(costs).wall, "CPU seconds": median(costs).cpu}
        row |= {"to the first": to_first[name].wall, "CPU to the first": to_first[name].cpu}
        rows.append(row | {"accuracies": accuracies} | turns_of(costs))
    return rows


def contestants(options: argparse.Namespace, folder: Path) -> dict[str, Run]:
    """How each trains with a seed; the script of the record keeps its images in `folder`."""
    overrides = overrides_of(options, "airbench94")
    data = build.data(runner.compose(overrides))
    for split in ("train", "test"):
        data.loaded(split, torch.device("cpu"))
    found: dict[str, Run] = {}
    if options.original and CUDA:
        found["the script"] = original(options.original, data, folder)
    else:
        print("the script's row is left out: it needs a GPU and --original airbench94.py", file=sys.stderr)
    found["runner"] = lambda seed: by_runner(overrides, data, seed)
    found["runner, everything switched off"] = lambda seed: by_fit(overrides, data, seed)
    return found


def overrides_of(options: argparse.Namespace, recipe: str) -> list[str]:
    """The words of a recipe, on the images that the options name."""
    overrides = [f"experiment={recipe}"]
    if options.quick:
        return [*overrides, *SMALL, "engine.epochs=1"]
    return [*overrides, "data=folder", f"data.root={options.cifar10}"] if options.cifar10 else overrides


class Contestant:
    """Trains with the next seed at each call, and keeps the accuracies."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.seeds = itertools.count()
        self.accuracies: list[float] = []

    def __call__(self) -> Cost:
        accuracy, cost = self.run(next(self.seeds))
        self.accuracies.append(accuracy)
        return cost


def by_runner(overrides: list[str], data: Any, seed: int) -> tuple[float, Cost]:
    accuracies = []
    with tempfile.TemporaryDirectory() as folder, hushed(), built_with(data) as trainings:

        def train() -> None:
            runner.train([*overrides, f"seed={seed}", f"output_dir={folder}"])
            accuracies.append(accuracy_on_test(trainings[-1], data))

        cost = cost_of(train)
    return accuracies[0], cost


def by_fit(overrides: list[str], data: Any, seed: int) -> tuple[float, Cost]:
    accuracies = []

    def train() -> None:
        cfg = runner.compose([*overrides, f"seed={seed}", "engine.checkpoint_every_epochs=1000"])
        training = build.training(cfg, data)
        with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder), training.settings, {}) as checkpoints:
            fit(training, [], checkpoints, Stop())
        accuracies.append(accuracy_on_test(training, data))

    cost = cost_of(train)
    return accuracies[0], cost


def accuracy_on_test(training: Training, data: Any) -> float:
    """Of the last weights, which count here, with the test-time augmentation of the recipe."""
    state, evaluate = training.state, training.evaluate
    evaluate.batches = build.batches(data, "test", state.preprocess, state.device, training.settings)
    return evaluate(state)[0]["val/accuracy"]


def original(path: Path, data: Any, folder: Path) -> Run:
    """The script's own `main`, on the same images."""
    (folder / "cifar10").mkdir()
    for split, parts in {"train": ("train", "val"), "test": ("test",)}.items():
        sources = [data.source(part) for part in parts]
        images = torch.cat([source.read(range(len(source))) for source in sources]).permute(0, 2, 3, 1).contiguous()
        labels = torch.cat([source.labels for source in sources])
        saved = {"images": images, "labels": labels, "classes": data.class_names}
        torch.save(saved, folder / "cifar10" / f"{split}.pt")
    specification = importlib.util.spec_from_file_location("original_airbench", path)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)

    def train(seed: int) -> tuple[float, Cost]:
        torch.manual_seed(seed)
        printed, accuracies = io.StringIO(), []
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            cost = cost_of(lambda: accuracies.append(script.main(seed)))
        *_, last = (line for line in printed.getvalue().splitlines() if "|" in line)
        return accuracies[0], Cost(float(last.strip("| \n").rpartition("|")[2]), cost.cpu)

    return train
