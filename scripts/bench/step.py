"""An optimizer step: by runner, by a loop written by hand, by Lightning, and of ResNet-50 also by timm.

All contestants train the same network on the same images with AdamW and a cosine schedule. What is measured is the time
from one epoch to the next, divided by the steps of an epoch: the median over the epochs of a run, then over the turns.

runner                            `runner.train` with its default settings: each epoch is evaluated, saved and logged
runner, everything switched off   its loop without evaluation, checkpoints and logs; it still counts loss and accuracy
bare loop                         forward, backward, update and cosine as one writes them by hand; it counts nothing
Lightning                         `Trainer` with its default settings and a validation in each epoch
Lightning, everything switched off   without validation, checkpoints, logs and progress bar
timm                              the bare loop over timm's network, with the optimizer that timm makes

On a CPU an epoch of the ResNets has only a few steps, so the end of the epoch is much of the time of default settings.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import runner
from bench.competitors.by_hand import all_images
from bench.harness import (
    CUDA,
    Cost,
    EpochClock,
    LatestData,
    Row,
    built_with,
    choose,
    hushed,
    median,
    num_turns,
    ratios,
    take_turns,
    takes_part,
    turns_of,
)
from runner import build
from runner.engine.checkpoint import Checkpoints
from runner.engine.evaluate import Evaluate
from runner.engine.loop import Training, fit
from runner.signals import Stop

IMAGENET = ["data.image_size=224", "model.depth=50", "model.stem=imagenet"]
SWITCHED_OFF = ["engine.eval_every_epochs=1000", "engine.checkpoint_every_epochs=1000"]


def _synthetic(on_cpu: tuple[int, int], on_gpu: tuple[int, int]) -> list[str]:
    """Random images: how many, and how many per batch."""
    num_images, batch_size = on_gpu if CUDA else on_cpu
    return ["data=synthetic", f"data.num_images={num_images}", f"data.batch_size={batch_size}", "engine.epochs=4"]


CASES = {
    "MLP, digits": ["model=mlp", "engine.epochs=12"],
    "ConvNet, 32x32": ["model=convnet", *_synthetic((4000, 128), (50000, 512))],
    "ResNet-18, 32x32": ["model=resnet", "model.depth=18", *_synthetic((300, 64), (50000, 512))],
    "ResNet-50, 224x224": ["model=resnet", *IMAGENET, *_synthetic((20, 6), (4000, 128))],
}
DATA = LatestData()


def measure(options: argparse.Namespace) -> list[Row]:
    """Microseconds per step, and ratios to the bare loop."""
    rows = []
    for name, overrides in choose(CASES, options).items():
        overrides = [*overrides, "engine.epochs=5"] if options.quick else overrides
        slow = "ResNet" in name and not CUDA
        runs = {who: partial(run, overrides) for who, run in contestants(name, options).items()}
        measured = take_turns(runs, num_turns(options, 2 if slow else 7))
        to_bare = ratios(measured, "bare loop")
        for who, costs in measured.items():
            cost = median(costs)
            row = {"network": name, "by": who, "us a step": 1e6 * cost.wall, "CPU us a step": 1e6 * cost.cpu}
            rows.append(row | {"to bare": to_bare[who].wall, "CPU to bare": to_bare[who].cpu} | turns_of(costs))
    return rows


def contestants(case: str, options: argparse.Namespace) -> dict[str, Callable[[list[str]], Cost]]:
    found: dict[str, Callable[[list[str]], Cost]] = {
        "bare loop": bare_loop,
        "runner": by_runner,
        "runner, everything switched off": by_fit,
    }
    if takes_part("lightning", options):
        found["Lightning"] = partial(by_lightning, switched_off=False)
        found["Lightning, everything switched off"] = partial(by_lightning, switched_off=True)
    if case.startswith("ResNet-50") and takes_part("timm", options):
        found["timm"] = by_timm
    return found


def ticking(evaluate: Evaluate, clock: EpochClock) -> Evaluate:
    """The same evaluation, which tells the clock that an epoch has ended."""

    class Ticks(type(evaluate)):  # type: ignore[misc]
        def __call__(self, state: Any) -> Any:
            clock.tick()
            return super().__call__(state)

    evaluate.__class__ = Ticks
    return evaluate


def by_runner(overrides: list[str]) -> Cost:
    """`runner.train` as a user has it, from the end of one epoch to that of the next."""
    clock = EpochClock()

    def tell_time(training: Training) -> None:
        training.evaluate = ticking(training.evaluate, clock)

    data = DATA.of(runner.compose(overrides))
    with tempfile.TemporaryDirectory() as folder, hushed(), built_with(data, tell_time) as trainings:
        runner.train([*overrides, f"output_dir={folder}"])
    return clock.cost_of_step(trainings[0].train.num_batches)


def by_fit(overrides: list[str]) -> Cost:
    """The loop of `runner.train` alone."""
    training = prepare([*overrides, *SWITCHED_OFF])
    clock = EpochClock()
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder), training.settings, {}) as checkpoints:
        fit(training, [Ticking(clock)], checkpoints, Stop())
    return clock.cost_of_step(training.train.num_batches)


class Ticking:
    """An observer that notes when epochs end."""

    def __init__(self, clock: EpochClock) -> None:
        self.clock = clock

    def started(self, state: Any) -> None:
        pass

    def reported(self, state: Any, losses: Any) -> None:
        pass

    def epoch_ended(self, state: Any, records: Any) -> None:
        self.clock.tick()


def prepare(overrides: list[str]) -> Training:
    cfg = runner.compose(overrides)
    return build.training(cfg, DATA.of(cfg))


def bare_loop(overrides: list[str]) -> Cost:
    training, cfg = prepare(overrides), runner.compose(overrides)
    network = training.state.network
    return train_by_hand(
        cfg, training, network, torch.optim.AdamW(network.parameters(), lr=cfg.optimizer.lr, fused=True)
    )


def by_timm(overrides: list[str]) -> Cost:
    import timm
    import timm.optim

    training, cfg = prepare(overrides), runner.compose(overrides)
    network = timm.create_model("resnet50", num_classes=10).to(training.state.device).train()
    if CUDA:
        network.to(memory_format=torch.channels_last)
    optimizer = timm.optim.create_optimizer_v2(network, opt="adamw", lr=cfg.optimizer.lr, weight_decay=0.01)
    return train_by_hand(cfg, training, network, optimizer)


def train_by_hand(cfg: Any, training: Training, network: nn.Module, optimizer: torch.optim.Optimizer) -> Cost:
    """A loop as one writes it, over preprocessed images in memory."""
    images, labels = all_images(training.train)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cfg.engine.epochs * training.train.num_batches)
    criterion = nn.CrossEntropyLoss()
    clock = EpochClock()
    for _ in range(cfg.engine.epochs):
        for rows in torch.randperm(len(images), device=images.device).split(cfg.data.batch_size):
            with training.state.precision.autocast():
                loss = criterion(network(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        clock.tick()
    return clock.cost_of_step(training.train.num_batches)


def by_lightning(overrides: list[str], switched_off: bool) -> Cost:
    """`Trainer.fit` with a `DataLoader` over the preprocessed images."""
    from bench.competitors.lightning_module import Classifier, trainer

    training, cfg = prepare(overrides), runner.compose(overrides)
    num_steps = cfg.engine.epochs * training.train.num_batches
    clock = EpochClock()
    module = Classifier(training.state.network, cfg.optimizer.lr, num_steps, clock.tick)
    images, labels = (tensor.cpu() for tensor in all_images(training.train))
    train = loader(images, labels, cfg.data.batch_size, shuffle=True)
    val = None
    if not switched_off:
        val = loader(*(tensor.cpu() for tensor in all_images(training.evaluate.batches)), cfg.data.eval_batch_size)
    with tempfile.TemporaryDirectory() as folder, hushed():
        trainer(cfg.engine.epochs, folder, switched_off).fit(module, train, val)
    return clock.cost_of_step(len(train))


def loader(images: torch.Tensor, labels: torch.Tensor, batch_size: int, shuffle: bool = False) -> Any:
    data = torch.utils.data.TensorDataset(images, labels)
    return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=shuffle, pin_memory=CUDA)
