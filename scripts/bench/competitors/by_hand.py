"""A training as one writes it by hand: it evaluates after each epoch and writes nothing."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from runner.data import Batches
from runner.engine.loop import Training


def all_images(batches: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of a split, preprocessed, and their labels."""
    images, labels = zip(*batches.all_plain(), strict=True)
    return torch.cat(images), torch.cat(labels)


def train(training: Training, lr: float, epochs: int) -> Iterator[Any]:
    """The validation metrics of each epoch."""
    images, labels = all_images(training.train)
    batch_size = training.train.batch_size
    network = training.state.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * training.train.num_batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(images), device=images.device).split(batch_size):
            loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        yield training.evaluate(training.state)[0]
