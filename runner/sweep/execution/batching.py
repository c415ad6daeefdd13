"""Which trials make one job: those that may train together as vectorized trials, as far as their configs tell."""

import os
from collections.abc import Sequence
from math import ceil
from typing import Any, Literal

from runner.sweep.record.trial import TrialRecord

MAX_TOGETHER = 128  # vectorized trials, unless a number is asked for
MAX_PER_JOB = 16  # for a launcher whose number of workers is not known


class TrialBatcher:
    """Makes jobs of trials.

    Args:
        vectorize: `sweep.vectorize`.
        num_workers: jobs that run at once; None where that is not known.
    """

    def __init__(self, vectorize: int | Literal["auto", "off"], num_workers: int | None) -> None:
        self.vectorize = vectorize
        self.num_workers = num_workers

    def __call__(self, trials: Sequence[TrialRecord]) -> list[list[TrialRecord]]:
        if self.vectorize in ("off", 1):
            # A job costs a composition. Jobs of one process run one after another, so that one does for all trials;
            # elsewhere each trial is one that its launcher places, and may lose, by itself.
            return [list(trials)] if self.num_workers == 1 and trials else [[trial] for trial in trials]
        alike: dict[str | int, list[TrialRecord]] = {}
        for trial in trials:
            alike.setdefault(trial.signature or trial.trial, []).append(trial)
        limit = self.vectorize if isinstance(self.vectorize, int) else MAX_TOGETHER
        jobs = []
        for group in alike.values():
            size = self._size(len(group), limit)
            jobs += [group[start : start + size] for start in range(0, len(group), size)]
        return jobs

    def _size(self, count: int, limit: int) -> int:
        """Trials a job, so that every worker has one."""
        if self.num_workers is None:
            return min(limit, MAX_PER_JOB)
        return min(limit, ceil(count / self.num_workers))


def num_parallel_jobs(launcher: Any, num_workers: int) -> int | None:
    """How many jobs run at once: by `sweep.num_workers`, or by the launcher's own config; None where unknown."""
    if num_workers > 1:
        return num_workers
    if launcher._target_.endswith(".BasicLauncher"):
        return 1
    count = launcher.get("num_workers", launcher.get("n_jobs"))
    return (os.cpu_count() or 1) if count == -1 else count
