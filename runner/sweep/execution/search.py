"""A sweep under way: begins rounds, queues their trials, has them run, and takes up whatever a crash left undone.

Whoever runs a trial writes to the journal that it started and how it ended, so this process may die at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from runner import config
from runner import vectorizable as stacks
from runner.errors import EXIT_DIVERGED, EXIT_USER_ERROR, SweepFailed, UserError
from runner.store import SweepFolder, write_config
from runner.sweep.plugin.workers import WorkerDied
from runner.sweep.record.journal import Journal, Standing
from runner.sweep.report import terminal as display
from runner.sweep.space.space import Point
from runner.sweep.space.trial_configs import TrialConfigs
from runner.sweep.strategy.plan import Plan, Record, better_half

Jobs = list[list[int]]  # the trials of each job
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]
MOST_STARTS = 3  # of a trial whose process dies


class Search:
    """A sweep in its folder.

    Args:
        configs: makes the trials' configs, which are frozen when they are queued; None for a task that is not ours,
            whose jobs get the overrides themselves and give the score back.
        fixed: the words that all trials share.
        launch: runs jobs, given their overrides and the number of the first.
        group: makes jobs of trials.
        batch_size: at most so many jobs at once; None for all of a round.
    """

    def __init__(
        self,
        folder: SweepFolder,
        plan: Plan,
        configs: TrialConfigs | None,
        fixed: Sequence[str],
        launch: Launch,
        group: Callable[[Sequence[Standing]], Jobs],
        batch_size: int | None = None,
    ) -> None:
        self.folder = folder
        self.journal = Journal(folder.journal)
        self.plan = plan
        self.configs = configs
        self.fixed = list(fixed)
        self.launch = launch
        self.group = group
        self.batch_size = batch_size
        self.num_jobs = 0
        self.returns: list[Sequence[JobReturn]] = []

    @property
    def rounds(self) -> list[Record]:
        rounds: list[Record] = self.folder.record["rounds"]
        return rounds

    def run(self) -> None:
        """Every round to its end.

        Raises:
            SweepFailed: so many trials failed that going on makes no sense.
        """
        self._lengthen()
        for record in self.rounds:
            self._run_round(record)
        while following := self.plan.next_round(self.rounds, self.journal.standings()):
            self.folder.update(rounds=[*self.rounds, following])
            self._run_round(following)
        trials = list(self.journal.standings().values())
        if self.configs and trials and not any(trial.status == "finished" for trial in trials):
            raise SweepFailed(f"no trial has finished; the first {trials[0].status}: {trials[0].reason}")

    def _lengthen(self) -> None:
        """More points for rounds that have begun, where the plan has come to ask for more."""
        searches = [record for record in self.rounds if record["kind"] == "search"]
        for record, round_ in zip(searches, self.plan.rounds, strict=False):
            if "fixed" not in record:
                record["num_trials"] = max(record["num_trials"], round_.trials)
        for record in [record for record in self.rounds if record["kind"] == "finals"][-1:]:
            record["seeds"] = self.plan.seeds(max(len(record["seeds"]), self.plan.settings.final_seeds))
            record["num_trials"] = len(record["settings"]) * len(record["seeds"])
        self.folder.update(rounds=self.rounds)

    def _run_round(self, record: Record) -> None:
        self._queue(record)
        trials = [trial for trial in self.journal.standings().values() if trial.round == record["index"]]
        if self.plan.settings.halving and record["kind"] == "search" and (record["epochs"] or 0) >= 2:
            self._run_trials([trial.trial for trial in trials], until_epoch=record["epochs"] // 2)
            standings = self.journal.standings()
            _, worse = better_half([standings[trial.trial] for trial in trials], self.plan.mode)
            reason = f"in the worse half of its round at epoch {record['epochs'] // 2}"
            self.journal.append(event("stopped", trial, error=reason) for trial in worse if trial.status == "paused")
        self._run_trials([trial.trial for trial in trials])

    def _queue(self, record: Record) -> None:
        """Freeze and journal the trials of a round that are not yet."""
        standings = self.journal.standings()
        queued = sum(trial.round == record["index"] for trial in standings.values())
        number = len(standings)
        events = []
        for point in self.plan.points(record)[queued:]:
            folder = str(self.folder.trial(number).relative_to(self.folder.path))
            trial = Standing(number, record["index"], _words(point, record["epochs"]), folder, record["epochs"])
            if self.configs:
                self._freeze(trial)
            events.append(event("queued", trial, choices=trial.choices, shape=trial.shape))
            number += 1
        self.journal.append(events)

    def _freeze(self, trial: Standing) -> None:
        """Write down a trial's config, whole, and note its choices and its shape.

        Raises:
            UserError: it makes no sense.
        """
        assert self.configs is not None
        point: Point = dict(_pair(word) for word in trial.overrides)
        cfg, trial.choices = self.configs.of(point)
        config.check(cfg)
        trial.shape = stacks.digest(cfg)
        path = self.folder.trial(trial.trial)
        path.mkdir(parents=True, exist_ok=True)
        write_config(path, cfg, replaced(self.fixed, trial.overrides))

    def _run_trials(self, numbers: Sequence[int], until_epoch: int | None = None) -> None:
        """Run trials to their end, or to a pause; again where a process died, up to a number of starts."""
        while True:
            standings = self.journal.standings()
            waiting = [standings[number] for number in numbers if _waits(standings[number], until_epoch)]
            dead = [trial for trial in waiting if trial.status == "started" and trial.starts >= MOST_STARTS]
            self.journal.append(
                event("failed", trial, error=f"its process died {trial.starts} times; out of memory, perhaps")
                for trial in dead
            )
            waiting = [trial for trial in waiting if trial not in dead]
            if not waiting:
                return
            self._launch(waiting, until_epoch)

    def _launch(self, waiting: Sequence[Standing], until_epoch: int | None) -> None:
        jobs = self.group(waiting)
        size = self.batch_size or len(jobs)
        self._give_up()
        for start in range(0, len(jobs), size):
            batch = jobs[start : start + size]
            before = self._num_events()
            words = [self._job_words(job, until_epoch) for job in batch]
            error: Exception | None = None
            returns: Sequence[JobReturn] = []
            try:
                returns = self.launch(words, self.num_jobs)
            except UserError:
                raise
            except Exception as raised:  # a launcher whose worker process died
                error = raised
            self.num_jobs += len(batch)
            self.returns.append(returns)
            self._note_returns(batch, returns)
            if self._num_events() == before:
                raise error or SweepFailed("the launcher came back without having run a trial")
            if error is not None:
                display.warn(f"the launcher failed ({type(error).__name__}: {error}); going on with what is left")
            self._give_up()

    def _job_words(self, job: Sequence[int], until_epoch: int | None) -> list[str]:
        if self.configs is None:
            (number,) = job
            return replaced(self.fixed, self.journal.standings()[number].overrides)
        until = until_epoch or "null"
        trials = ",".join(map(str, job))
        return [in_folder(self.folder.path), f"+job.trials=[{trials}]", f"+job.until_epoch={until}"]

    def _note_returns(self, batch: Jobs, returns: Sequence[JobReturn]) -> None:
        """Journal the ends that the jobs did not journal themselves."""
        standings = self.journal.standings()
        events = []
        for job, returned in zip(batch, returns, strict=False):
            for trial in (standings[number] for number in job):
                error = returned._return_value
                if isinstance(error, WorkerDied):
                    continue  # it may start again
                if returned.status == JobStatus.FAILED and not trial.ended:
                    events.append(event("failed", trial, error=f"{type(error).__name__}: {error}"))
                elif self.configs is None and not trial.ended:
                    events.append(event("finished", trial, score=_score(returned.return_value)))
        self.journal.append(events)

    def _num_events(self) -> int:
        return len(self.journal.read()[0])

    def _give_up(self) -> None:
        if reason := why_give_up(list(self.journal.standings().values()), self.plan.settings):
            raise SweepFailed(reason)


def in_folder(path: Path) -> str:
    """The word that tells a job, or a sweep that goes on, its folder."""
    return f"+job.folder='{path.absolute()}'"


def why_give_up(trials: Sequence[Standing], settings: Any) -> str | None:
    """The reason not to go on, if there is one."""
    failed = [trial for trial in trials if trial.status == "failed"]
    if not failed:
        return None
    if settings.on_error == "stop":
        return (
            f"trial {failed[0].trial} failed ({failed[0].reason}), and sweep.on_error is stop; to go on without it, "
            "resume with sweep.on_error=continue"
        )
    worked = any(trial.status in ("finished", "stopped", "paused") for trial in trials)
    if len(failed) >= settings.max_failures and not worked:
        return (
            f"{len(failed)} trials have failed and none has finished; the first: {failed[0].reason}; mend it, and "
            "begin anew or resume with a larger sweep.max_failures"
        )
    return None


def status_of(trials: Sequence[Standing]) -> int:
    """The exit status where no trial finished: the user's mistake, divergence, or failures."""
    failed = [trial for trial in trials if trial.status == "failed"]
    if not failed:
        return EXIT_DIVERGED
    return 1 if any("Traceback" in (trial.error or "") for trial in failed) else EXIT_USER_ERROR


def replaced(fixed: Sequence[str], words: Sequence[str]) -> list[str]:
    """The shared words with those of one trial, each key once: a trial's word takes the place of a shared one."""
    by_key = {_pair(word)[0].lstrip("+~"): word for word in words}
    kept = [by_key.pop(_pair(word)[0].lstrip("+~"), word) for word in fixed]
    return kept + list(by_key.values())


def _waits(trial: Standing, until_epoch: int | None) -> bool:
    return not trial.ended and not (until_epoch and trial.status == "paused")


def event(name: str, trial: Standing, **more: Any) -> dict[str, Any]:
    """A line of the journal about a trial."""
    keys = ("trial", "round", "overrides", "folder", "epochs", "score")
    return {"event": name, **{key: getattr(trial, key) for key in keys}, **more}


def _words(point: Point, epochs: int | None) -> list[str]:
    words = [f"{key}={value}" for key, value in point.items()]
    return words + ([f"engine.epochs={epochs}"] if epochs else [])


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def _score(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
