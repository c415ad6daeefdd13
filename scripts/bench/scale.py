"""Growing: what a sweep, its resume, compare and metrics cost at three sizes, each three times the one before.

Wall and CPU time at each size, and their ratios to the first size: tenfold at the last size is linear growth.

sweep: the search's own work           a sweep whose trials take no time: points, configs on the disk, rounds, one job
sweep: reading the journal             the same without configs, but each trial is a job of its own, which reads the
                                       journal and adds `started` and `finished` to it. Adding waits for the disk, so
                                       CPU seconds count here
compare                                `runner compare` over copies of one run
board                                  `runner board` over copies of a run of 20 epochs, until TensorBoard lists all
metrics and checkpoints                `runner.train` with default settings, for epochs of a single batch
resume of a finished sweep             `runner resume` of a sweep that has nothing left to do
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import runner
from bench.harness import (
    ROOT,
    Cost,
    Row,
    choose,
    cost_of,
    cost_of_command,
    cpu_of_children,
    hushed,
    median,
    num_turns,
    ratios,
    take_turns,
    turns_of,
)
from runner import config, store
from runner.objective import Objective
from runner.store import SweepFolder
from runner.sweep.execution.failures import why_give_up
from runner.sweep.execution.search import SearchRun
from runner.sweep.execution.task import TrainingTask
from runner.sweep.record.journal import Journal
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.space import Interval, Space
from runner.sweep.space.trial_configs import TrialConfigs
from runner.sweep.strategy.plan import Plan

RUNNER = [sys.executable, "-m", "runner"]
SPACE = Space({"optimizer.lr": Interval(1e-5, 1e-1, "log")})


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw the table scale")


def measure(options: argparse.Namespace) -> list[Row]:
    """Seconds at each size, and ratios to the first."""
    rows = []
    for name, case in choose(CASES, options, num_quick=len(CASES)).items():
        sizes = case.quick_sizes if options.quick else case.sizes
        with ExitStack() as stack:
            contestants = {}
            for size in sizes:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                contestants[str(size)] = case.prepare(size, folder)
            measured = take_turns(contestants, num_turns(options, 3))
        to_first = ratios(measured, str(sizes[0]))
        for size, costs in measured.items():
            row = {"what": name, "size": int(size), "of": case.unit}
            row |= {"seconds": median(costs).wall, "CPU seconds": median(costs).cpu}
            rows.append(row | {"to first": to_first[size].wall, "CPU to first": to_first[size].cpu} | turns_of(costs))
    if options.figure:
        draw(rows, options.figure)
    return rows


# Sweeps that train nothing


class ConfigsAlone(TrainingTask):
    """Trials with a config on the disk, whose job is told their numbers."""

    def job_overrides(self, trials: Sequence[TrialRecord], until_epoch: int | None) -> list[str]:
        return [str(trial.trial) for trial in trials]


class Nothing:
    """Trials that need no preparation, whose job is told their numbers. See `runner.sweep.execution.task.Task`."""

    def prepare(self, trial: TrialRecord) -> None:
        pass

    def mend(self, trial: TrialRecord) -> None:
        pass

    def job_overrides(self, trials: Sequence[TrialRecord], until_epoch: int | None) -> list[str]:
        return [str(trial.trial) for trial in trials]

    def drop_checkpoints(self, trials: Iterable[TrialRecord]) -> None:
        pass

    def unrecorded_ends(self, trials: Sequence[TrialRecord], returned: Any) -> list[dict[str, Any]]:
        return []


class JournalingLauncher:
    """Of what `runner.sweep.execution.job.run_job` does with a job, the reading and writing of the journal."""

    def __init__(self, path: Path, settings: SweepSettings) -> None:
        self.journal = Journal(path)
        self.settings = settings

    def __call__(self, jobs: Sequence[Sequence[str]], first: int) -> list[Any]:
        for numbers in jobs:
            self.journal.refresh()
            assert why_give_up(self.journal, self.settings) is None
            trials = [self.journal.trials[int(number)] for number in numbers]
            self.journal.append(trial.event("started") for trial in trials)
            self.journal.append(trial.event("finished") | {"score": score(trial), "seconds": 0.0} for trial in trials)
        return []


def score(trial: TrialRecord) -> float:
    return -abs(math.log10(float(trial.point["optimizer.lr"])) + 3)


def search(num_trials: int, folder: Path, configs: TrialConfigs | None) -> Cost:
    """A search of so many trials in one round, from a new folder to its end.

    With configs: all trials are one job. Without: nothing is prepared, and each trial is a job.
    """
    sweep = SweepFolder.create(store.make_folder(folder, "sweep"), "sweep", [], 0, {})
    settings = SweepSettings(num_finalists=0)
    plan = Plan(settings, SPACE, [RoundPlan(num_trials, 1)], 1, Objective("val/accuracy", "max"))
    launch = JournalingLauncher(sweep.journal, settings)
    if configs:
        run = SearchRun(
            sweep,
            plan,
            ConfigsAlone(sweep, configs, accept_changed_images=False),
            launch,
            lambda trials: [list(trials)],
        )
    else:
        run = SearchRun(sweep, plan, Nothing(), launch, lambda trials: [[trial] for trial in trials])
    cost = cost_of(run.run)
    sweep.unlock()
    assert run.journal.counts["finished"] == num_trials
    return cost


def prepare_search(num_trials: int, folder: Path) -> Callable[[], Cost]:
    return lambda: search(num_trials, folder, TrialConfigs(config.compose_with_choices, []))


def prepare_journal(num_trials: int, folder: Path) -> Callable[[], Cost]:
    return lambda: search(num_trials, folder, None)


# Commands


def prepare_compare(num_runs: int, folder: Path) -> Callable[[], Cost]:
    """Copies of one run, each with a learning rate of its own."""
    with hushed():
        run = runner.train(["model=linear", "engine.max_steps=1", f"output_dir={folder}/one"])
    cfg = run.config
    for number in range(num_runs):
        target = folder / "many" / f"{number:05d}"
        target.mkdir(parents=True)
        for name in ("run.json", "metrics.jsonl"):
            (target / name).write_text((run.folder / name).read_text())
        OmegaConf.update(cfg, "optimizer.lr", 0.001 + number / 1e6)
        store.write_config(target, cfg, [])
    return partial(cost_of_command, [*RUNNER, "compare", folder / "many", "--format", "json"])


def prepare_board(num_runs: int, folder: Path) -> Callable[[], Cost]:
    with hushed():
        words = ["model=linear", "engine.epochs=20", "engine.limit_batches=1", "log.histograms=false"]
        run = runner.train([*words, "log.num_images=0", f"output_dir={folder}/one"])
    for number in range(num_runs):
        shutil.copytree(run.folder, folder / "many" / f"{number:05d}", ignore=shutil.ignore_patterns("checkpoints"))
    return partial(serve, num_runs, folder / "many")


def serve(num_runs: int, folder: Path) -> Cost:
    """Start the board, wait until it lists so many runs, and end it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    before, began = cpu_of_children(), time.perf_counter()
    command = [*RUNNER, "board", folder]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        served: list[str] = []
        while len(served) < num_runs:
            time.sleep(0.05)
            with urllib.request.urlopen(f"{found[0]}data/runs", timeout=60) as answer:
                served = json.load(answer)
        cost = Cost(time.perf_counter() - began, cpu_of_children() - before)
        server.terminate()
    return cost


def prepare_training(num_epochs: int, folder: Path) -> Callable[[], Cost]:
    overrides = ["model=linear", "engine.limit_batches=1", f"engine.epochs={num_epochs}", f"output_dir={folder}"]

    def train() -> Cost:
        with hushed():
            return cost_of(lambda: runner.train(overrides))

    train()  # imports what is needed
    return train


def prepare_resume(num_trials: int, folder: Path) -> Callable[[], Cost]:
    rounds = f"sweep.rounds=[{{trials: {num_trials}, epochs: 1}}]"
    overrides = ["sweep=lr", "model=linear", "engine.limit_batches=1", rounds, "sweep.num_finalists=0"]
    cost_of_command([*RUNNER, "sweep", *overrides, f"output_dir={folder}"])
    (record,) = folder.glob("*/*/sweep.json")
    return partial(cost_of_command, [*RUNNER, "resume", record.parent])


@dataclass(frozen=True)
class Case:
    """What grows.

    Args:
        prepare: a size and a new folder to what is measured, as often as there are turns.
        unit: what the size counts.
    """

    prepare: Callable[[int, Path], Callable[[], Cost]]
    unit: str
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...] = (2, 4)


CASES = {
    "sweep: the search's own work": Case(prepare_search, "trials", (100, 300, 1000)),
    "sweep: reading the journal": Case(prepare_journal, "trials", (100, 300, 1000)),
    "compare": Case(prepare_compare, "runs", (100, 300, 1000)),
    "board": Case(prepare_board, "runs", (100, 300, 1000)),
    "metrics and checkpoints": Case(prepare_training, "epochs", (10, 30, 100)),
    "resume of a finished sweep": Case(prepare_resume, "trials", (10, 30, 100), quick_sizes=(2,)),
}


def draw(rows: Sequence[Row], path: Path) -> None:
    """CPU seconds by size, both in the logarithm; a dashed line grows as the size does."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for name in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == name]
        sizes, seconds = [row["size"] for row in own], [row["CPU seconds"] for row in own]
        (line,) = axes.loglog(sizes, seconds, marker="o", label=f"{name}, by {own[0]['of']}")
        linear = [seconds[0] * size / sizes[0] for size in sizes]
        axes.loglog(sizes, linear, color=line.get_color(), linestyle="--", linewidth=0.8)
    axes.set_xlabel("size")
    axes.set_ylabel("CPU seconds")
    axes.set_title("What grows with the number of trials, runs and epochs; dashed: linear", fontsize=10)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
