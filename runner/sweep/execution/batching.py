"""Which trials make one job: those that may train together as one batched network, as far as their configs tell."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from typing import Any, Literal

from runner.sweep.record.journal import Standing

MOST_TOGETHER = 128  # trials of a stack, unless a number is asked for
MOST_ELSEWHERE = 16  # of a job for a launcher whose number of workers is not known


class Jobs:
    """Makes jobs of trials.

    Args:
        stack: `sweep.stack`.
        num_workers: jobs that run at once; None where that is not known.
    """

    def __init__(self, stack: int | Literal["auto", "off"], num_workers: int | None) -> None:
        self.stack = stack
        self.num_workers = num_workers

    def __call__(self, trials: Sequence[Standing]) -> list[list[int]]:
        if self.stack in ("off", 1):
            # A job costs a composition. Jobs of one process run one after another, so that one does for all trials;
            # elsewhere each trial is one that its launcher places, and may lose, by itself.
            numbers = [trial.trial for trial in trials]
            return [numbers] if self.num_workers == 1 and numbers else [[number] for number in numbers]
        alike: dict[str | int, list[int]] = {}
        for trial in trials:
            alike.setdefault(trial.shape or trial.trial, []).append(trial.trial)
        most = self.stack if isinstance(self.stack, int) else MOST_TOGETHER
        jobs = []
        for numbers in alike.values():
            size = self._size(len(numbers), most)
            jobs += [numbers[start : start + size] for start in range(0, len(numbers), size)]
        return jobs

    def _size(self, count: int, most: int) -> int:
        """Trials a job, so that every worker has one."""
        if self.num_workers is None:
            return min(most, MOST_ELSEWHERE)
        return min(most, ceil(count / self.num_workers))


def workers_of(launcher: Any, num_workers: int) -> int | None:
    """How many jobs run at once: by `sweep.workers`, or by the launcher's own config."""
    if num_workers > 1:
        return num_workers
    if launcher._target_.endswith(".BasicLauncher"):
        return 1
    count = launcher.get("num_workers", launcher.get("n_jobs"))
    return (os.cpu_count() or 1) if count == -1 else count
