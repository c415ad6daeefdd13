"""What the tables share: measuring, contestants who take turns, Markdown and JSON.

Contestants take turns, within one process or one after another, and every ratio is the median of the ratios of the
single turns. So the changing speed of a busy machine hits all of them alike. Everything that is timed is measured
twice: in seconds by the clock, and in CPU seconds of this process with all processes that it starts.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import itertools
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import psutil
import torch

from runner import build
from runner.engine.loop import Training

ROOT = Path(__file__).resolve().parents[2]
SUPERVISE = ROOT / "scripts/bench/supervise.py"
CUDA = torch.cuda.is_available()
COMPETITORS = ("lightning", "optuna", "ray", "kornia", "timm", "fastai", "ultralytics")
PACKAGES = ("runner", "torch", "torchvision", "numpy", "hydra-core", "tensorboard", *COMPETITORS)

Row = dict[str, Any]
T = TypeVar("T")


# Measuring


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and CPU seconds."""

    wall: float
    cpu: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, number: float) -> Cost:
        return Cost(self.wall / number, self.cpu / number)


Measured = dict[str, list[Cost]]  # by contestant, turn by turn


def cost_of(work: Callable[[], object]) -> Cost:
    """What some work costs in this process, with the processes that it starts."""
    synchronize()
    others, own, began = cpu_of_children(), time.process_time(), time.perf_counter()
    work()
    synchronize()
    wall, cpu = time.perf_counter() - began, time.process_time() - own
    return Cost(wall, cpu + cpu_of_children() - others)


def cost_of_command(command: Sequence[str | Path], folder: str | Path | None = None, sample: bool = False) -> Cost:
    """What a command costs from its start to its end, with all processes that it starts. See `run_command`."""
    done = run_command(command, folder, sample)
    return Cost(done["wall"], done["cpu"])


def run_command(
    command: Sequence[str | Path], folder: str | Path | None = None, sample: bool = False
) -> dict[str, Any]:
    """What `supervise.py` says of a command: `wall` and `cpu` in seconds, `memory` in bytes, `out`, `err`.

    A command that fails ends the benchmark. `sample`: see `supervise.py`.
    """
    paths = [str(ROOT), str(ROOT / "scripts"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"}
    words = [sys.executable, SUPERVISE, *(["--sample"] if sample else []), *command]
    told = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    done: dict[str, Any] = json.loads(told)
    if done["status"]:
        sys.exit(f"{' '.join(map(str, command))[:200]}\n{done['out'][-2000:]}\n{done['err'][-4000:]}")
    return done


def cpu_of_children() -> float:
    """CPU seconds so far of all processes that this one started, living or ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if CUDA:
        torch.cuda.synchronize()


class EpochClock:
    """The time at the same point of each epoch, from which the cost of a step follows."""

    def __init__(self) -> None:
        self.times: list[Cost] = []

    def tick(self) -> None:
        synchronize()
        self.times.append(Cost(time.perf_counter(), time.process_time()))

    def cost_of_step(self, num_batches: int) -> Cost:
        """The median over the epochs, without the first, which warms up, and the last, which may do more at its end."""
        return median([later - earlier for earlier, later in itertools.pairwise(self.times[:-1])]) / num_batches


def take_turns(contestants: Mapping[str, Callable[[], Cost]], turns: int) -> Measured:
    """What each contestant costs, turn by turn."""
    measured: Measured = {name: [] for name in contestants}
    for _ in range(turns):
        for name, measure in contestants.items():
            measured[name].append(measure())
    return measured


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


def ratios(measured: Measured, base: str) -> dict[str, Cost]:
    """For each contestant, the median over the turns of its cost divided by the cost of `base` in the same turn."""
    return {
        name: median(
            [Cost(one.wall / to.wall, one.cpu / to.cpu) for one, to in zip(costs, measured[base], strict=True)]
        )
        for name, costs in measured.items()
    }


def turns_of(costs: Sequence[Cost]) -> Row:
    """The column of a row that only the JSON file has: wall and CPU seconds of every turn."""
    return {"turns": [[cost.wall, cost.cpu] for cost in costs]}


# Options


def choose(cases: Mapping[str, T], options: argparse.Namespace, num_quick: int = 1) -> dict[str, T]:
    """The cases that `--only` names; in a quick run the first few of them."""
    words = tuple(options.only or [""])
    found = [(name, case) for name, case in cases.items() if name.startswith(words)]
    if not found:
        sys.exit(f"--only {' '.join(words)}: no case begins so; there are {'; '.join(cases)}")
    return dict(found[: num_quick if options.quick else None])


def num_turns(options: argparse.Namespace, usual: int) -> int:
    return options.turns or (1 if options.quick else usual)


def takes_part(competitor: str, options: argparse.Namespace) -> bool:
    """Whether a competitor is measured: it is installed, and the run is not a quick one."""
    return not options.quick and _is_installed(competitor)


@cache
def _is_installed(competitor: str) -> bool:
    found = importlib.util.find_spec(competitor) is not None
    if not found:
        print(f"{competitor} is not installed: its rows are left out (pip install 'runner[bench]')", file=sys.stderr)
    return found


# Trainings


class LatestData:
    """The data set of the case at hand, so that its images are made or read once for all turns."""

    def __init__(self) -> None:
        self._key, self._data = "", None

    def of(self, cfg: Any) -> Any:
        if self._key != str(cfg.data):
            self._key, self._data = str(cfg.data), build.data(cfg)
        return self._data


@contextlib.contextmanager
def built_with(data: Any, change: Callable[[Training], None] | None = None) -> Iterator[list[Training]]:
    """Within it, `runner.train` takes this data set, and `change` sees each training before it begins.

    Gives the list of these trainings.
    """
    make, built = build.training, []

    def training(cfg: Any, dataset: Any = None) -> Training:
        built.append(make(cfg, data))
        if change:
            change(built[-1])
        return built[-1]

    with mock.patch.object(build, "training", training):
        yield built


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Without what a training has to say."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


# Output


def markdown(rows: Sequence[Row]) -> str:
    """A table for each stretch of rows of the same columns, its numbers to three digits. Lists are for JSON alone."""
    blocks = itertools.groupby(rows, lambda row: [key for key, value in row.items() if not isinstance(value, list)])
    return "\n\n".join(_block(heads, list(alike)) for heads, alike in blocks)


def _block(heads: Sequence[str], rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [f"{row[key]:.3g}" if isinstance(row[key], float) else str(row[key]) for key in heads]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def surroundings() -> dict[str, Any]:
    """Date, hardware and versions."""
    hardware = {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if CUDA else None,
    }
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {"date": time.strftime("%Y-%m-%d"), "hardware": hardware, "versions": versions}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
