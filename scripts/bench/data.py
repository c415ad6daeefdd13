"""Data: images per second through one epoch, by both ways of loading, by torchvision and by kornia.

32x32 images in batches of 256, augmented and preprocessed, but not trained on. Each contestant goes through two epochs,
and the second one is measured: by then worker processes have started. Their CPU time counts.

runner, in memory            the default settings; these images fit into memory
runner, worker processes     data.loading=workers: two worker processes read, the main process augments
torchvision, worker processes    its transforms, image by image, in two worker processes, as its documentation has it
kornia                       its layers on batches of images in memory, for the augmentations that it has
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

import runner
from bench.harness import (
    CUDA,
    Cost,
    LatestData,
    Row,
    choose,
    cost_of,
    median,
    num_turns,
    ratios,
    take_turns,
    takes_part,
    turns_of,
)
from runner import build

# The same augmentation for runner and for torchvision.
CASES: dict[str, tuple[list[str], list[Any]]] = {
    "no augmentation": ([], []),
    "crop and flip": (["augment=[crop,flip]"], [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]),
    "color jitter": (["augment=color_jitter"], [v2.ColorJitter(0.4, 0.4, 0.4)]),
    "rotate": (["augment=rotate"], [v2.RandomRotation(15)]),
    "randaugment": (["augment=randaugment"], [v2.RandAugment()]),
}
KORNIA = {
    "crop and flip": [("RandomCrop", {"size": (32, 32), "padding": 4}), ("RandomHorizontalFlip", {"p": 0.5})],
    "color jitter": [("ColorJitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "p": 1.0})],
    "rotate": [("RandomRotation", {"degrees": 15.0, "p": 1.0})],
}
BATCH_SIZE = 256
BASE = "torchvision, worker processes"
DATA = LatestData()


def measure(options: argparse.Namespace) -> list[Row]:
    """Images per second, CPU microseconds per image, and how many times as fast as torchvision."""
    num_images = 600 if options.quick else 20000
    images = ["data=synthetic", f"data.num_images={num_images}", f"data.batch_size={BATCH_SIZE}"]
    rows = []
    for name, (overrides, transforms) in choose(CASES, options, num_quick=2).items():
        contestants: dict[str, Callable[[], Cost]] = {
            "runner, in memory": partial(by_runner, [*images, *overrides]),
            "runner, worker processes": partial(by_runner, [*images, *overrides, "data.loading=workers"]),
            BASE: partial(by_torchvision, images, transforms),
        }
        if name in KORNIA and takes_part("kornia", options):
            contestants["kornia"] = partial(by_kornia, images, KORNIA[name])
        measured = take_turns(contestants, num_turns(options, 3))
        to_base = ratios(measured, BASE)
        for who, costs in measured.items():
            row = {"augmentation": name, "by": who}
            row |= {"images a second": 1 / median(costs).wall, "CPU us an image": 1e6 * median(costs).cpu}
            row |= {"times torchvision": 1 / to_base[who].wall, "CPU to torchvision": to_base[who].cpu}
            rows.append(row | turns_of(costs))
    return rows


def cost_of_image(epoch: Callable[[], Any], num_images: int) -> Cost:
    """Of the second time round: workers have started, memory is warm."""

    def go_through() -> None:
        for _ in epoch():
            pass

    go_through()
    return cost_of(go_through) / num_images


def by_runner(overrides: Sequence[str]) -> Cost:
    cfg = runner.compose(overrides)
    train = build.training(cfg, build.data(cfg).with_images_of(DATA.of(cfg))).train
    return cost_of_image(lambda: train.epoch(1), train.num_images)


def by_torchvision(overrides: Sequence[str], transforms: Sequence[Any]) -> Cost:
    source = build.data(runner.compose(overrides)).source("train")
    steps = [*transforms, v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.2] * 3)]
    loader = torch.utils.data.DataLoader(
        Transformed(source, v2.Compose(steps)),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        pin_memory=CUDA,
    )
    return cost_of_image(lambda: loader, len(source))


class Transformed(torch.utils.data.Dataset[Any]):
    """Images with torchvision's transforms, one by one."""

    def __init__(self, source: Any, transform: Any) -> None:
        self.source = source
        self.transform = transform

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.source.pixels[index]), self.source.labels[index]


def by_kornia(overrides: Sequence[str], layers: Sequence[tuple[str, dict[str, Any]]]) -> Cost:
    import kornia.augmentation

    device = torch.device("cuda" if CUDA else "cpu")
    pixels = build.data(runner.compose(overrides)).source("train").pixels.to(device)
    augment = nn.Sequential(*[getattr(kornia.augmentation, name)(**options) for name, options in layers])

    def epoch() -> Iterator[Any]:
        for rows in torch.randperm(len(pixels), device=device).split(BATCH_SIZE):
            yield (augment(pixels[rows].float() / 255) - 0.5) / 0.2

    return cost_of_image(epoch, len(pixels))
