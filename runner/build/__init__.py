"""Turns a config into built objects."""

from typing import Any

from runner import renamed
from runner.build.parts import (
    augment,
    average,
    batches,
    data,
    described,
    eval_view,
    init_from_data,
    instantiate,
    log,
    loss,
    model,
    observers,
    optimizer,
    regularizers,
    schedule,
    stored_network,
    tta,
)
from runner.build.pretrained import settle as settle_weights
from runner.build.single import training
from runner.build.vectorized import Timing, VectorizedTimer, vectorize


def __getattr__(name: str) -> Any:
    raise AttributeError(f"{__name__} has no {name}{renamed.hint(renamed.NAMES, name)}")
