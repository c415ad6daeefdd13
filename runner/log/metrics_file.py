"""Writes each epoch's metrics to the run's plain files."""

import time
from dataclasses import asdict

from runner.engine.observer import Record
from runner.engine.state import TrainState
from runner.objective import Objective
from runner.store import RunFolder


class MetricsFile:
    """A line of metrics.jsonl an epoch, and the standing of the run in run.json.

    Args:
        trial: whose run it is, where several train together.
    """

    def __init__(self, folder: RunFolder, objective: Objective, trial: int = 0) -> None:
        self.folder = folder
        self.objective = objective
        self.trial = trial
        self.seconds_before = float(folder.record["seconds"])
        self.began = time.perf_counter()

    def started(self, state: TrainState) -> None:
        self.folder.rewind_metrics(state.epoch)  # also to nothing, where a run was killed before its first checkpoint

    def reported(self, state: TrainState, losses: list[float]) -> None:
        pass

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial in state.present:
            self.folder.append_metrics(records[self.trial])
            self.note(state, metrics=records[self.trial])

    def note(self, state: TrainState, **fields: object) -> None:
        """Bring run.json up to date."""
        trial = state.trials[self.trial]
        if state.part_size is not None:
            fields["part_size"] = state.part_size
        self.folder.update(
            seconds=round(self.seconds_before + time.perf_counter() - self.began, 3),
            objective={**asdict(self.objective), "value": trial.best_value, "epoch": trial.best_epoch},
            **fields,
        )
