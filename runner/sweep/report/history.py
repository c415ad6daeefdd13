"""The history of a sweep, as its figures and its report tell it: every trial with its point, and when it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from omegaconf import OmegaConf

from runner.errors import UserError
from runner.store import SweepFolder, read_config
from runner.sweep.record.journal import Journal, by_process
from runner.sweep.record.rounds import Round, SearchRound, label, read_rounds, searches
from runner.sweep.record.trial import ENDED, TrialRecord
from runner.sweep.report.result import SweepResult, summarize
from runner.sweep.space.space import condition_of, key_of
from runner.sweep.strategy.plan import Plan

IDLE_SECONDS = 60.0  # before a start; what is more, in journals without that event, was no time of the sweep


@dataclass(frozen=True)
class TrialEnd:
    """The end of a trial.

    Args:
        place: how many trials had ended then, this one among them.
        seconds: of the sweep.
    """

    trial: int
    place: int
    seconds: float


@dataclass(frozen=True)
class SweepHistory:
    """A sweep from its first trial on.

    Args:
        trials: in the order of their numbers.
        ends: in their own order.
        configured: values of searched keys where a trial says nothing of them.
    """

    plan: Plan
    metric: str
    rounds: Sequence[Round]
    trials: Sequence[TrialRecord]
    ends: Sequence[TrialEnd]
    result: SweepResult
    configured: Mapping[str, str]

    @property
    def keys(self) -> list[str]:
        """The searched keys, each once."""
        return list(dict.fromkeys(key_of(name) for name in self.plan.space.dimensions))

    @property
    def searches(self) -> list[SearchRound]:
        return searches(self.rounds)

    def label(self, round_: Round) -> str:
        """What a round is called: 1, 2, 3 and so on, whatever finals lie between; or finals."""
        return label(round_, self.rounds)

    def of_round(self, round_: Round) -> list[TrialRecord]:
        return [trial for trial in self.trials if trial.round == round_.index]

    def value(self, trial: TrialRecord, key: str) -> str | None:
        """What a trial has for a searched key; None where the key has no place in it."""
        return trial.point.get(key, self.configured.get(key))

    def dimension_name(self, trial: TrialRecord, key: str) -> str:
        """The dimension that a trial's value of a key was drawn from: the conditional one, if there is one."""
        point = {**trial.choices, **trial.point}
        for name in self.plan.space.dimensions:
            condition = condition_of(name)
            group, _, option = condition.partition("=")
            if key_of(name) == key and condition and point.get(group) == option:
                return name
        return key

    @property
    def best_score(self) -> float | None:
        """Of the best point: its mean over the seeds of the finals, where there were any."""
        if self.result.finalists:
            return self.result.finalists[0].estimate.mean
        return self.result.best.score if self.result.best else None

    def best_so_far(self) -> list[float | None]:
        """The best score of the finished trials at each end."""
        scores = {trial.trial: trial.score for trial in self.trials if trial.status == "finished"}
        best: float | None = None
        found = []
        for end in self.ends:
            score = scores.get(end.trial)
            if score is not None and self.plan.objective.better(score, best):
                best = score
            found.append(best)
        return found


def read_history(folder: SweepFolder, plan: Plan) -> SweepHistory:
    """The history of a sweep so far, from its folder."""
    journal = Journal(folder.journal)
    events = journal.refresh()
    rounds = read_rounds(folder.record["rounds"])
    return SweepHistory(
        plan,
        plan.objective.name,
        rounds,
        [journal.trials[number] for number in sorted(journal.trials)],
        ends_of(events, float(folder.record["seconds"])),
        summarize(plan, rounds, journal.trials),
        _configured(folder, plan),
    )


def ends_of(events: Sequence[Mapping[str, Any]], seconds: float = 0.0) -> list[TrialEnd]:
    """The ends of trials, in their order, with the seconds in which the sweep ran until then.

    The journal's times are whole seconds, and it lacks what a sweep does before and after its trials: the clock of each
    process that worked on the sweep is slowed, if need be, so that none ends after it.

    Args:
        seconds: in which the whole sweep ran, if that is known.
    """
    parts = by_process(events)
    until = [float(part[0]["seconds_before"]) for part in parts[1:]] + [seconds]
    found: list[TrialEnd] = []
    begun = 0.0
    for part, end in zip(parts, until, strict=True):
        own = _spread(part)
        last = max((moment for _, moment in own), default=0.0)
        if end <= begun:  # nobody lived to write it down
            end = begun + last
        pace = min(1.0, (end - begun) / last) if last else 1.0
        found += [
            TrialEnd(trial, len(found) + place, begun + moment * pace) for place, (trial, moment) in enumerate(own, 1)
        ]
        begun = end
    latest = max((end.seconds for end in found), default=0.0)
    pace = seconds / latest if 0 < seconds < latest else 1.0
    return [replace(end, seconds=end.seconds * pace) for end in found]


def _spread(events: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """The trials that ended, in their order, each with the seconds since the first event.

    What ends within one second is spread over it.
    """
    within: dict[float, list[int]] = {}
    last = None
    for event, seconds in zip(events, _running_seconds(events), strict=True):
        if event["event"] in ENDED and event["trial"] != last:
            last = event["trial"]
            within.setdefault(seconds, []).append(last)
    return [
        (trial, seconds + place / len(trials))
        for seconds, trials in within.items()
        for place, trial in enumerate(trials, 1)
    ]


def _running_seconds(events: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds from the first event to each, without what a start has waited for long."""
    total, before = 0.0, None
    found = []
    for event in events:
        moment = datetime.fromisoformat(event["time"])
        passed = max(0.0, (moment - before).total_seconds()) if before else 0.0
        waits = event["event"] in ("queued", "started")
        total += min(passed, IDLE_SECONDS) if waits else passed
        before = moment
        found.append(total)
    return found


def _configured(folder: SweepFolder, plan: Plan) -> dict[str, str]:
    """Where keys have their turn one after another, those that had none yet are as the config says."""
    if plan.settings.strategy != "coordinate":
        return {}
    try:
        config = read_config(folder.trial(0))
    except UserError:
        return {}
    values = {key_of(name): OmegaConf.select(config, key_of(name)) for name in plan.space.dimensions}
    return {key: str(value) for key, value in values.items() if isinstance(value, bool | int | float | str)}
