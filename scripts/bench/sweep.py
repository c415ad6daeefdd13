"""A sweep of learning rates: trials per second by runner, Hydra with Lightning, Optuna and Ray Tune.

Each contestant is a whole command, from its start to its end: 64 learning rates, each for 20 epochs, which is the
default length, on the same images and network. What is measured is the wall time and the CPU time of the command.

runner                            the default settings: vectorized trials where they pay, one process, logs, report
runner, 2 worker processes        the same with sweep.num_workers=2
runner, one by one                without vectorized trials
runner, one by one, 2 worker processes
runner, everything switched off   one by one without TensorBoard, progress and report
Lightning in a Hydra multirun     one process; a plain script with the default settings of Lightning
Optuna                            a study in memory over a loop written by hand; it writes nothing
Ray Tune                          the same loop, as many trials at once as there are cores; its CPU time is sampled
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.harness import (
    ROOT,
    Cost,
    Row,
    choose,
    cost_of_command,
    median,
    num_turns,
    ratios,
    take_turns,
    takes_part,
    turns_of,
)

CASES = {"MLP, digits": ["model=mlp"], "ConvNet, digits": ["model=convnet"]}
SETTINGS = {
    "runner": [],
    "runner, 2 worker processes": ["sweep.num_workers=2"],
    "runner, one by one": ["sweep.vectorize=off"],
    "runner, one by one, 2 worker processes": ["sweep.vectorize=off", "sweep.num_workers=2"],
    "runner, everything switched off": [
        "sweep.vectorize=off",
        "sweep.report=false",
        "log.tensorboard=false",
        "log.progress=none",
    ],
}
BASE = "runner, one by one"
COMPETITORS = ROOT / "scripts/bench/competitors"
LOWEST, HIGHEST = 1e-4, 10**-1.5


def measure(options: argparse.Namespace) -> list[Row]:
    """Trials per second, CPU seconds per trial, and how many times as fast as one by one."""
    num_points, epochs = (3, 2) if options.quick else (64, 20)
    rows = []
    for name, overrides in choose(CASES, options).items():
        those = contestants(overrides, num_points, epochs, options)
        measured = take_turns(those, num_turns(options, 3 if name.startswith("MLP") else 1))
        to_base = ratios(measured, BASE)
        for who, costs in measured.items():
            cost = median(costs) / num_points
            row = {"network": name, "by": who, "trials a second": 1 / cost.wall, "CPU seconds a trial": cost.cpu}
            row |= {"times one by one": 1 / to_base[who].wall, "CPU to one by one": to_base[who].cpu}
            rows.append(row | turns_of(costs))
    return rows


def contestants(
    overrides: Sequence[str], num_points: int, epochs: int, options: argparse.Namespace
) -> dict[str, Callable[[], Cost]]:
    rates = learning_rates(num_points)
    names = ["runner", BASE] if options.quick else list(SETTINGS)
    found: dict[str, Callable[[], Cost]] = {
        name: partial(run_sweep, [*overrides, *SETTINGS[name]], rates, epochs) for name in names
    }
    if takes_part("lightning", options):
        found["Lightning in a Hydra multirun"] = partial(run_lightning, overrides, rates, epochs)
    if takes_part("optuna", options):
        task = {"overrides": overrides, "epochs": epochs, "bounds": [LOWEST, HIGHEST], "num_trials": num_points}
        found["Optuna"] = partial(run_script, "optuna_study.py", task)
    if takes_part("ray", options):
        task = {"overrides": overrides, "epochs": epochs, "rates": [float(rate) for rate in rates]}
        found["Ray Tune"] = partial(run_script, "ray_tune.py", task, sample=True)
    return found


def learning_rates(number: int) -> list[str]:
    """Evenly in the logarithm."""
    low, high = math.log10(LOWEST), math.log10(HIGHEST)
    return [f"{10 ** (low + (high - low) * place / (number - 1)):.6g}" for place in range(number)]


def run_sweep(overrides: Sequence[str], rates: Sequence[str], epochs: int) -> Cost:
    """`runner sweep` as a user starts it; the search is one round without finals, so that all train the same."""
    search = [f"optimizer.lr={','.join(rates)}", f"sweep.rounds=[{{trials: {len(rates)}, epochs: {epochs}}}]"]
    with tempfile.TemporaryDirectory() as folder:
        words = [*overrides, *search, "sweep.num_finalists=0", f"output_dir={folder}"]
        return cost_of_command([sys.executable, "-m", "runner", "sweep", *words])


def run_lightning(overrides: Sequence[str], rates: Sequence[str], epochs: int) -> Cost:
    """A Hydra multirun, whose jobs run one after another in one process."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "overrides.json").write_text(json.dumps(list(overrides)))
        words = [f"lr={','.join(rates)}", f"epochs={epochs}"]
        return cost_of_command([sys.executable, COMPETITORS / "lightning_multirun.py", "-m", *words], folder)


def run_script(name: str, task: dict[str, object], sample: bool = False) -> Cost:
    """A script that takes its task as JSON and a folder for what it writes."""
    with tempfile.TemporaryDirectory() as folder:
        return cost_of_command([sys.executable, COMPETITORS / name, json.dumps(task), folder], folder, sample)
