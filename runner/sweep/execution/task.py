"""What the trials of a sweep are: how they are prepared, what their jobs are told, and how a job's end is read."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from hydra.core.utils import JobReturn, JobStatus

from runner import config, vectorizable
from runner.errors import DeviceFault, ImagesChanged, UserError, WorkerDied, is_full_disk
from runner.lifetime import this_process
from runner.store import SweepFolder, read_config, remove_checkpoints, write_config
from runner.sweep.execution import handover
from runner.sweep.execution.failures import value_or_error
from runner.sweep.record.trial import TrialRecord
from runner.sweep.space.overrides import merge_overrides
from runner.sweep.space.trial_configs import TrialConfigs
from runner.warnings import warn


class Task(Protocol):
    """The trials of one sweep."""

    def prepare(self, trial: TrialRecord) -> None:
        """Make a trial ready to be queued.

        Raises:
            UserError: its config makes no sense, or is not trusted.
        """

    def mend(self, trial: TrialRecord) -> None:
        """Make a trial that was queued before this process began ready again, where its files are damaged.

        Raises:
            UserError: its config is not trusted.
        """

    def job_overrides(self, trials: Sequence[TrialRecord], until_epoch: int | None) -> list[str]:
        """The overrides of a job that runs these trials, to their end or until they wait."""

    def drop_checkpoints(self, trials: Iterable[TrialRecord]) -> None:
        """Remove the checkpoints of trials that need them no more."""

    def unrecorded_ends(self, trials: Sequence[TrialRecord], returned: JobReturn) -> list[dict[str, Any]]:
        """Events of the ends that the job has not journaled itself."""


class TrainingTask:
    """Trials that are training runs, each in its folder with its config. See `Task`.

    A job is told the sweep's folder, its trials' numbers and whom it works for, no more.

    Args:
        accept_changed_images: go on with other images than those before.
    """

    def __init__(self, folder: SweepFolder, configs: TrialConfigs, accept_changed_images: bool) -> None:
        self.folder = folder
        self.configs = configs
        self.accept_changed_images = accept_changed_images
        handover.begin(folder.path, configs)

    def prepare(self, trial: TrialRecord) -> None:
        cfg, trial.choices = self.configs.of(trial.values)
        content = config.check(cfg)
        if config.settle(cfg):  # by what lies in the folders now: to be read again from the file alone
            content = config.check(cfg)
        else:
            handover.offer(self.folder.path, trial.trial)
        trial.signature = vectorizable.signature(content)
        path = self.folder.trial(trial.trial)
        path.mkdir(parents=True, exist_ok=True)
        write_config(path, content, merge_overrides(self.configs.shared, trial.overrides))

    def mend(self, trial: TrialRecord) -> None:
        try:
            cfg = read_config(self.folder.trial(trial.trial))
        except UserError as error:
            self.prepare(trial)
            warn(f"{error}; written again")
        else:
            if not self.configs.trust:
                config.check_trusted(cfg)

    def job_overrides(self, trials: Sequence[TrialRecord], until_epoch: int | None) -> list[str]:
        numbers = ",".join(str(trial.trial) for trial in trials)
        until = "null" if until_epoch is None else until_epoch
        main = ",".join(f"{key}:{value}" for key, value in this_process().items())
        return [
            folder_override(self.folder),
            f"+job.trials=[{numbers}]",
            f"+job.until_epoch={until}",
            f"+job.main={{{main}}}",
            f"+job.accept_changed_images={self.accept_changed_images}",
        ]

    def drop_checkpoints(self, trials: Iterable[TrialRecord]) -> None:
        for trial in trials:
            remove_checkpoints(self.folder.trial(trial.trial))

    def unrecorded_ends(self, trials: Sequence[TrialRecord], returned: JobReturn) -> list[dict[str, Any]]:
        return job_failures(trials, returned)


def folder_override(folder: SweepFolder) -> str:
    """The override that tells a job, or a sweep that goes on, its folder."""
    return f"+job.folder='{folder.path.absolute()}'"


def job_failures(trials: Sequence[TrialRecord], returned: JobReturn) -> list[dict[str, Any]]:
    """`failed` events of trials whose job failed before they ended; not where its process died: they may run again.

    Raises:
        ImagesChanged, DeviceFault, OSError: the job found that, or that a disk is full. Its trials can run later.
    """
    error = value_or_error(returned)
    if isinstance(error, ImagesChanged | DeviceFault) or is_full_disk(error):
        raise error
    if isinstance(error, WorkerDied) or returned.status != JobStatus.FAILED:
        return []
    return [trial.event("failed", error=f"{type(error).__name__}: {error}") for trial in trials if not trial.ended]
