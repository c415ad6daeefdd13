"""Starting: how long a user waits for a command, from its start to its end.

Wall and CPU time of whole commands, each in a process of its own, with default settings. A job of a multirun is the
difference between a multirun of six trainings and one of two, divided by four.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.harness import Cost, Row, cost_of_command, median, num_turns, take_turns, turns_of

PYTHON, RUNNER = [sys.executable], [sys.executable, "-m", "runner"]
ONE_STEP = ["train", "model=linear", "engine.max_steps=1"]


def measure(options: argparse.Namespace) -> list[Row]:
    """Seconds of each command."""
    with tempfile.TemporaryDirectory() as folder:
        measured = take_turns(commands(folder, options), num_turns(options, 7))
    return [
        {"command": name, "seconds": median(costs).wall, "CPU seconds": median(costs).cpu} | turns_of(costs)
        for name, costs in measured.items()
    ]


def commands(folder: str, options: argparse.Namespace) -> dict[str, Callable[[], Cost]]:
    few, many = (1, 2) if options.quick else (2, 6)
    return {
        "python -c pass": partial(cost_of_command, [*PYTHON, "-c", "pass"]),
        "python -c 'import torch, torchvision'": partial(cost_of_command, [*PYTHON, "-c", "import torch, torchvision"]),
        "runner --help": partial(cost_of_command, [*RUNNER, "--help"]),
        "runner train --help": partial(cost_of_command, [*RUNNER, "train", "--help"]),
        "runner train engine.max_steps=1": partial(cost_of_command, [*RUNNER, *ONE_STEP, f"output_dir={folder}"]),
        "a job of a multirun": lambda: (multirun(folder, many) - multirun(folder, few)) / (many - few),
    }


def multirun(folder: str | Path, num_jobs: int) -> Cost:
    seeds = ",".join(str(seed) for seed in range(num_jobs))
    return cost_of_command([*RUNNER, *ONE_STEP, "-m", f"seed={seeds}", f"output_dir={folder}"])
