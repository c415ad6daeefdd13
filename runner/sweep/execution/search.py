"""A sweep under way: begins rounds, queues their trials, has them run, and takes up whatever a crash left undone.

Whoever runs a trial writes to the journal that it started and how it ended, so this process may die at any point.
"""

from collections.abc import Callable, Sequence

from hydra.core.utils import JobReturn

from runner.errors import SweepFailed, UserError
from runner.store import SweepFolder
from runner.sweep.execution.failures import why_give_up
from runner.sweep.execution.task import Task
from runner.sweep.record.journal import Journal
from runner.sweep.record.rounds import Round, SearchRound, read_rounds
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.strategy.halving import better_half, half_epochs
from runner.sweep.strategy.plan import Plan
from runner.warnings import warn

Jobs = list[list[TrialRecord]]
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]
MAX_STARTS = 3  # of a trial whose process dies


class SearchRun:
    """A sweep in its folder.

    Args:
        launch: runs jobs, given their overrides and the number of the first.
        batch: makes jobs of trials.
        max_batch_size: at most so many jobs at once; None for all of a round.
    """

    def __init__(
        self,
        folder: SweepFolder,
        plan: Plan,
        task: Task,
        launch: Launch,
        batch: Callable[[Sequence[TrialRecord]], Jobs],
        max_batch_size: int | None = None,
    ) -> None:
        self.folder = folder
        self.journal = Journal(folder.journal)
        self.plan = plan
        self.task = task
        self.launch = launch
        self.batch = batch
        self.max_batch_size = max_batch_size
        self.rounds = read_rounds(folder.record["rounds"])
        self.num_jobs = 0
        self.returns: list[Sequence[JobReturn]] = []

    def run(self) -> None:
        """Every round to its end.

        Raises:
            SweepFailed: so many trials failed that going on makes no sense.
        """
        self.journal.append([], create=True)  # before the first round is in the record, which relies on it
        self.journal.refresh()
        self.plan.lengthen(self.rounds)
        self._write_rounds()
        for trial in self.journal.trials.values():
            if not trial.ended:
                self.task.mend(trial)
        for round_ in self.rounds:
            self._run_round(round_)
        while following := self.plan.next_round(self.rounds, self.journal.trials):
            self.rounds.append(following)
            self._write_rounds()
            self._run_round(following)

    def _write_rounds(self) -> None:
        self.folder.update(rounds=[round_.to_json() for round_ in self.rounds])

    def _run_round(self, round_: Round) -> None:
        trials = self._queue(round_)
        half = half_epochs(round_, self.plan.settings)
        if half is not None:
            self._run_trials(trials, until_epoch=half)
            _, worse = better_half(trials, self.plan.objective)
            reason = f"in the worse half of its round at epoch {half}"
            self.journal.append(trial.event("pruned", error=reason) for trial in worse if trial.status == "waiting")
            self.journal.refresh()
        self._run_trials(trials)
        self._drop_checkpoints(round_, trials)

    def _drop_checkpoints(self, round_: Round, trials: Sequence[TrialRecord]) -> None:
        """Of a round of the search that is over, remove what no one goes on from."""
        keep = self.plan.settings.keep_checkpoints
        if keep == "all" or not isinstance(round_, SearchRound):
            return
        kept = [best.trial for best in rank(trials, self.plan.objective)[:1] if keep == "best"]
        self.task.drop_checkpoints(trial for trial in trials if trial.trial not in kept)

    def _queue(self, round_: Round) -> list[TrialRecord]:
        """Journal the trials of a round that are not queued yet, each with its config on the disk; all of the round."""
        num_queued = sum(trial.round == round_.index for trial in self.journal.trials.values())
        number = len(self.journal.trials)
        events = []
        for suggestion in self.plan.suggestions(round_)[num_queued:]:
            folder = self.folder.trial(number).relative_to(self.folder.path).as_posix()
            trial = TrialRecord(number, round_.index, suggestion.point, suggestion.seed, round_.epochs, folder)
            self.task.prepare(trial)
            events.append(trial.event("queued", choices=trial.choices, signature=trial.signature))
            number += 1
        self.journal.append(events)
        self.journal.refresh()
        return [trial for trial in self.journal.trials.values() if trial.round == round_.index]

    def _run_trials(self, trials: Sequence[TrialRecord], until_epoch: int | None = None) -> None:
        """Run trials to their end, or until they wait; again where a process died, up to a number of starts."""
        while True:
            todo = [trial for trial in trials if _is_open(trial, until_epoch)]
            dead = [trial for trial in todo if trial.status == "started" and trial.num_starts >= MAX_STARTS]
            self.journal.append(
                trial.event("failed", error=f"its process died {trial.num_starts} times; out of memory, perhaps")
                for trial in dead
            )
            self.journal.refresh()
            todo = [trial for trial in todo if _is_open(trial, until_epoch)]
            if not todo:
                return
            self._launch(todo, until_epoch)

    def _launch(self, trials: Sequence[TrialRecord], until_epoch: int | None) -> None:
        jobs = self.batch(trials)
        size = self.max_batch_size or len(jobs)
        self._give_up_if_failing()
        for start in range(0, len(jobs), size):
            batch = jobs[start : start + size]
            before = self.journal.num_events
            overrides = [self.task.job_overrides(job, until_epoch) for job in batch]
            error: Exception | None = None
            returns: Sequence[JobReturn] = []
            try:
                returns = self.launch(overrides, self.num_jobs)
            except UserError:
                raise
            except Exception as raised:  # a launcher whose worker process died
                error = raised
            self.num_jobs += len(batch)
            self.returns.append(returns)
            self._record_returns(batch, returns)
            if self.journal.num_events == before:
                raise error or SweepFailed("the launcher came back without having run a trial")
            if error is not None:
                warn(f"the launcher failed ({type(error).__name__}: {error}); going on with what is left")
            self._give_up_if_failing()

    def _record_returns(self, batch: Jobs, returns: Sequence[JobReturn]) -> None:
        """Journal the ends that the jobs did not journal themselves."""
        self.journal.refresh()
        ends = (self.task.unrecorded_ends(job, one) for job, one in zip(batch, returns, strict=False))
        self.journal.append(event for events in ends for event in events)
        self.journal.refresh()

    def _give_up_if_failing(self) -> None:
        if reason := why_give_up(self.journal, self.plan.settings):
            raise SweepFailed(reason)


def _is_open(trial: TrialRecord, until_epoch: int | None) -> bool:
    return not trial.ended and not (until_epoch and trial.status == "waiting")
