"""A training as one writes it by hand: it evaluates after each epoch and writes nothing."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from runner.engine.loop import Training


def train(training: Training, lr: float, epochs: int) -> Iterator[Any]:
    """The validation metrics of each epoch."""
    ready, batch_size = training.train.ready, training.train.batch_size
    images, labels = ready.pixels, ready.labels
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
