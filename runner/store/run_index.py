"""Finding the runs under folders, and reading of each only what is asked for. A thousand take a second."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.objective import Objective
from runner.store.annotations import read_annotations
from runner.store.config_file import read_leaves
from runner.store.run_folder import RUN, read_metrics, read_record
from runner.store.sweep_folder import SWEEP, TRIALS

ROUND, SEARCH, FINALS = "round", "search", "finals"
TAGS, NOTE = "tags", "note"


class RunSummary:
    """A run on disk: `record` is run.json, `config` the leaves of its config by dotted key.

    A sweep's trial has the kind of its round among them, as `round`, to be shown and asked for like a key.
    """

    def __init__(self, path: Path, record: dict[str, Any], config: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        self.config = config
        chosen = record.get("choices")
        self.choices: dict[str, str] = chosen if isinstance(chosen, dict) else {}
        if self.round is not None:
            self.config = {**config, ROUND: self.round}

    @classmethod
    def read(cls, path: Path) -> RunSummary:
        """The run in a folder.

        Raises:
            UserError: run.json or config.yaml is missing or damaged.
        """
        try:
            record = read_record(path, RUN)
        except FileNotFoundError:
            raise UserError(f"{path / RUN}: no such file") from None
        config = {key: value for key, value in read_leaves(path).items() if value != {}}
        tags, note = read_annotations(path)
        config |= {key: text for key, text in ((TAGS, " ".join(tags)), (NOTE, note)) if text}
        return cls(path, record, config)

    @property
    def status(self) -> str:
        """running, finished, failed, diverged or interrupted."""
        return str(self.record["status"])

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def round(self) -> str | None:
        """search or finals; None of a run that is no sweep's trial, or of a time that did not write it."""
        about = self.record.get(ROUND)
        kind = about.get("kind") if isinstance(about, dict) else None
        return kind if isinstance(kind, str) else None

    @property
    def sweep(self) -> str | None:
        """The folder of the sweep whose trial this is, if it lies where a trial does."""
        trials, _ = os.path.split(os.path.abspath(self.path))  # noqa: PTH100 - a thousand times, fast
        folder, name = os.path.split(trials)
        return folder if name == TRIALS else None

    @property
    def epochs(self) -> int | None:
        """Epochs done."""
        epoch = self.last("epoch")
        return None if epoch is None else int(epoch)

    @property
    def seconds(self) -> float | None:
        return number(self.record.get("seconds"))

    @cached_property
    def images_per_second(self) -> float | None:
        """Mean over the epochs."""
        values = [value for _, value in self.curve("images_per_second")]
        return math.fsum(values) / len(values) if values else None

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The epochs' records, oldest first."""
        return read_metrics(self.path)

    def curve(self, metric: str) -> list[tuple[float, float]]:
        """Epoch and value wherever the metric has a value."""
        points = ((number(record.get("epoch")), number(record.get(metric))) for record in self.metrics)
        return [(epoch, value) for epoch, value in points if epoch is not None and value is not None]

    def last(self, metric: str) -> float | None:
        """The value of the last epoch."""
        metrics = self.record.get("metrics")
        return number(metrics.get(metric)) if isinstance(metrics, dict) else None

    def best(self, objective: Objective) -> float | None:
        """The best epoch's value: of the run's own objective as run.json has it, of others from the metrics' file."""
        own = self.record.get("objective")
        if isinstance(own, dict) and (own.get("name"), own.get("mode")) == (objective.name, objective.mode):
            return number(own.get("value"))
        return objective.best(value for _, value in self.curve(objective.name))

    @property
    def metric_names(self) -> set[str]:
        metrics, objective = self.record.get("metrics"), self.record.get("objective")
        names = set(metrics) if isinstance(metrics, dict) else set()
        return names | ({str(objective["name"])} if isinstance(objective, dict) and "name" in objective else set())


def find_runs(paths: Sequence[Path]) -> tuple[list[RunSummary], list[str]]:
    """The runs in and under the folders, ordered by path, and a line for each run that is damaged.

    Raises:
        UserError: a folder does not exist, or there is no run in any.
    """
    folders: dict[str, Path] = {}  # by real path, so that a run named twice counts once
    for path in paths:
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; name a run's folder or one that holds runs, such as outputs")
        for folder in run_folders(path):
            folders.setdefault(os.path.realpath(folder), folder)
    if not folders:
        raise UserError(
            f"{', '.join(map(str, paths))}: no runs here (no {RUN} at any depth); name the folder with yours"
        )
    found, damaged = [], []
    for folder in sorted(folders.values()):
        try:
            found.append(RunSummary.read(folder))
        except UserError as error:
            damaged.append(str(error))
    return found, damaged


def without_searches(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """The runs without the search trials of sweeps that have a finished trial of their finals among these.

    A search trial goes into the finals for being the best of many, so its score is too good by luck; pooled with the
    fresh seeds of the finals, it would favor the luckiest setting.
    """
    with_finals = {run.sweep for run in runs if run.round == FINALS and run.finished and run.sweep is not None}
    judged = {folder for folder in with_finals if (Path(folder) / SWEEP).is_file()}
    return [run for run in runs if not (run.round == SEARCH and run.sweep in judged)]


def run_folders(root: Path) -> Iterator[Path]:
    """Folders that hold a run.json; nothing below them is looked at."""
    for folder, below, files in os.walk(root):
        if RUN in files:
            below.clear()
            yield Path(folder)


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None
