"""Image files: images per second through one epoch, from JPEG files by two worker processes.

Pictures of smooth noise are written as JPEG files in class folders, each size once. Each contestant goes through three
epochs: the first has all starting costs, and the last is measured. Pictures are cut and flipped, not trained on.

runner, worker processes    data.loading=workers: decoded images are kept on the disk, and read from there
runner, no cache            the same with data.cache=null: files are decoded in each epoch
torchvision                 ImageFolder with transforms.v2 in a DataLoader with two workers, as its documentation has it
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import runner
from bench.harness import CUDA, Cost, Row, choose, cost_of, median, num_turns, ratios, take_turns, turns_of
from runner import build

# Number of pictures, their size, the words of runner, and the same with torchvision.
CASES: dict[str, tuple[int, tuple[int, int], list[str], list[Any]]] = {
    "32x32, crop and flip": (
        8000,
        (32, 32),
        ["data.image_size=32", "augment=[crop,flip]"],
        [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()],
    ),
    "224x224, random resized crop and flip": (
        600,
        (500, 375),
        ["data.image_size=224", "augment=[random_resized_crop,flip]"],
        [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()],
    ),
    "224x224, center crop": (
        600,
        (500, 375),
        ["data.image_size=224"],
        [v2.Resize(224), v2.CenterCrop(224)],
    ),
}
NUM_CLASSES = 4
BATCH_SIZE = 64
BASE = "torchvision"


def measure(options: argparse.Namespace) -> list[Row]:
    """Images per second, CPU milliseconds per image, and how many times as fast as torchvision."""
    rows = []
    for name, (number, size, overrides, transforms) in choose(CASES, options, num_quick=1).items():
        with tempfile.TemporaryDirectory() as folder:
            write_pictures(Path(folder) / "photos", 200 if options.quick else number, size)
            words = ["data=folder", f"data.root={folder}/photos", f"data.cache={folder}/cache", *overrides]
            words += ["data.loading=workers", "data.num_workers=2", f"data.batch_size={BATCH_SIZE}"]
            contestants: dict[str, Callable[[], list[Cost]]] = {
                "runner, worker processes": partial(by_runner, words),
                "runner, no cache": partial(by_runner, [*words, "data.cache=null"]),
                BASE: partial(by_torchvision, Path(folder) / "photos/train", transforms),
            }
            firsts: dict[str, list[Cost]] = {who: [] for who in contestants}
            runs = {who: partial(last_epoch, epochs, firsts[who]) for who, epochs in contestants.items()}
            measured = take_turns(runs, num_turns(options, 3))
        to_base = ratios(measured, BASE)
        for who, costs in measured.items():
            row = {"images": name, "by": who, "images a second": 1 / median(costs).wall}
            row |= {"CPU ms an image": 1e3 * median(costs).cpu, "in the first epoch": 1e3 * firsts[who][0].cpu}
            row |= {"times torchvision": 1 / to_base[who].wall, "CPU to torchvision": to_base[who].cpu}
            rows.append(row | turns_of(costs))
    return rows


def last_epoch(epochs: Callable[[], list[Cost]], firsts: list[Cost]) -> Cost:
    costs = epochs()
    firsts.append(costs[0])
    return costs[-1]


def write_pictures(root: Path, number: int, size: tuple[int, int]) -> None:
    """Smooth noise: files of it are about as large as photos' and take as long to decode."""
    numbers = np.random.default_rng(0)
    for split, count in (("train", number), ("test", NUM_CLASSES)):
        for index in range(count):
            folder = root / split / f"class{index % NUM_CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            small = numbers.integers(0, 255, (max(2, size[1] // 8), max(2, size[0] // 8), 3), dtype=np.uint8)
            picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
            picture.save(folder / f"{index:05d}.jpg", quality=90)


def by_runner(words: Sequence[str]) -> list[Cost]:
    """The cost of an image in each of three epochs."""
    made: list[Any] = []

    def first() -> None:
        made.append(build.training(runner.compose(words)).train)
        go_through(made[0].epoch(0))

    costs = [cost_of(first)] + [cost_of(lambda epoch=epoch: go_through(made[0].epoch(epoch))) for epoch in (1, 2)]
    return [cost / made[0].num_images for cost in costs]


def by_torchvision(root: Path, transforms: Sequence[Any]) -> list[Cost]:
    steps = [v2.ToImage(), *transforms, v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.2] * 3)]
    made: list[Any] = []

    def first() -> None:
        images = ImageFolder(root, v2.Compose(steps))
        workers = {"num_workers": 2, "persistent_workers": True, "pin_memory": CUDA}
        made.append(torch.utils.data.DataLoader(images, batch_size=BATCH_SIZE, shuffle=True, **workers))
        go_through(made[0])

    costs = [cost_of(first), *(cost_of(lambda: go_through(made[0])) for _ in (1, 2))]
    return [cost / len(made[0].dataset) for cost in costs]


def go_through(batches: Any) -> None:
    for _ in batches:
        pass
