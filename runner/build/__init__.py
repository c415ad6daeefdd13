"""Turns a config into built objects."""

from runner.build.allowlist import check_trusted
from runner.build.parts import (
    augment,
    average,
    batches,
    data,
    fit_to_images,
    loss,
    make,
    model,
    optimizer,
    regularisers,
    schedule,
    scored_network,
    views,
)
from runner.build.single import Training, training
from runner.build.vectorized import Pace, most_together, pace_of_stack, stack

__all__ = [
    "Pace",
    "Training",
    "augment",
    "average",
    "batches",
    "check_trusted",
    "data",
    "fit_to_images",
    "loss",
    "make",
    "model",
    "most_together",
    "optimizer",
    "pace_of_stack",
    "regularisers",
    "schedule",
    "scored_network",
    "stack",
    "training",
    "views",
]
