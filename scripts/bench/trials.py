"""Trials: what a sweep of many short trials costs, and what of it is not training.

Whole commands, each in a process of its own: a search of one round of one-epoch trials of a linear network on digits,
trained one by one (`sweep.vectorize=off`), with default settings otherwise. The columns per trial are differences to
the sweep of a single trial, so that starting the command does not count. Training alone is an epoch of updates and its
validation, of objects that were built before. Memory is the largest that the command ever held.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import runner
from bench.harness import Cost, Row, cost_of, run_command
from runner import build

NETWORK = ["model=linear", "engine.epochs=1"]
SIZES, QUICK_SIZES = (100, 1000, 10_000), (3,)
NUM_EPOCHS = 30  # of the training alone


def measure(options: argparse.Namespace) -> list[Row]:
    """CPU time, memory and disk of a trial, by the number of trials."""
    with tempfile.TemporaryDirectory() as folder:
        return list(rows(QUICK_SIZES if options.quick else SIZES, Path(folder)))


def rows(sizes: tuple[int, ...], folder: Path) -> Iterator[Row]:
    alone = training_alone().cpu
    first, first_memory, first_bytes = sweep(1, folder)
    yield {"trials": 1, "seconds": first.wall, "CPU seconds": first.cpu, "largest memory MiB": first_memory}
    for size in sizes:
        cost, memory, num_bytes = sweep(size, folder)
        of_one = (cost - first) / (size - 1)
        row = {"trials": size, "seconds": cost.wall, "CPU seconds": cost.cpu, "CPU ms per trial": 1e3 * of_one.cpu}
        row |= {"of it training": 1e3 * alone, "beside its training": 1e3 * (of_one.cpu - alone)}
        yield row | {"largest memory MiB": memory, "kB per trial": (num_bytes - first_bytes) / (size - 1) / 1e3}


def sweep(num_trials: int, folder: Path) -> tuple[Cost, float, int]:
    """Cost of the command, its largest memory in MiB, and the bytes that it leaves."""
    output = folder / str(num_trials)
    rounds = f"sweep.rounds=[{{trials: {num_trials}, epochs: 1}}]"
    words = [*NETWORK, "optimizer.lr=loguniform(1e-4,1e-1)", rounds, "sweep.num_finalists=0", "sweep.vectorize=off"]
    done = run_command([sys.executable, "-m", "runner", "sweep", *words, f"output_dir={output}"])
    num_bytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return Cost(done["wall"], done["cpu"]), done["memory"] / 2**20, num_bytes


def training_alone() -> Cost:
    """Of one epoch and its validation, the median of several."""
    made = build.training(runner.compose(NETWORK))

    def epoch() -> None:
        for batch in made.train.epoch(0, 0):
            made.step(made.state, batch)
        made.evaluate(made.state)

    epoch()
    costs = [cost_of(epoch) for _ in range(NUM_EPOCHS)]
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))
