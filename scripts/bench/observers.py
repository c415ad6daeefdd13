"""Observers: what the progress display and TensorBoard add to a training.

Wall and CPU time of `runner.train` in this process, from the overrides to the result. Its output goes nowhere, but is
that of a terminal. At a terminal the default settings are the live display and TensorBoard. The base of the ratios has
both switched off; it still writes the metrics, the config and the checkpoints.
"""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import runner
from bench.harness import Cost, Row, choose, cost_of, median, num_turns, ratios, take_turns, turns_of

CASES = {
    "MLP, digits, 20 epochs": ["model=mlp"],
    "ConvNet, digits, 20 epochs": ["model=convnet"],
    "ConvNet, 32x32, 4 epochs": ["data=synthetic", "data.num_images=4000", "engine.epochs=4"],
}
DEFAULT, BASE = "the default: live display and TensorBoard", "both switched off"
OBSERVERS = {
    BASE: ["log.tensorboard=false", "log.progress=none"],
    "lines": ["log.tensorboard=false", "log.progress=lines"],
    "live display": ["log.tensorboard=false", "log.progress=live"],
    "TensorBoard": ["log.progress=none"],
    "lines and TensorBoard": ["log.progress=lines"],
    DEFAULT: [],
}


def measure(options: argparse.Namespace) -> list[Row]:
    """Seconds of a training, and ratios to one without observers."""
    rows = []
    for name, overrides in choose(CASES, options).items():
        overrides = [*overrides, "engine.epochs=2"] if options.quick else overrides
        train([*overrides, "engine.max_steps=1"])  # imports what is needed
        runs = {who: partial(train, [*overrides, *more]) for who, more in OBSERVERS.items()}
        measured = take_turns(runs, num_turns(options, 7))
        to_base = ratios(measured, BASE)
        for who, costs in measured.items():
            row = {"training": name, "observers": who}
            row |= {"seconds": median(costs).wall, "CPU seconds": median(costs).cpu}
            rows.append(row | {"to both off": to_base[who].wall, "CPU to both off": to_base[who].cpu} | turns_of(costs))
    return rows


def train(overrides: Sequence[str]) -> Cost:
    """A training whose terminal is nowhere."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        mock.patch.dict(os.environ, {"FORCE_COLOR": "1"}),  # a terminal, to rich
    ):
        return cost_of(lambda: runner.train([*overrides, f"output_dir={folder}"]))
