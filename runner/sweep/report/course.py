"""The course of a sweep, as its pictures and its report tell it: every trial with its point, and when it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from omegaconf import OmegaConf

from runner.errors import UserError
from runner.store import SweepFolder, read_config
from runner.sweep import outcome as outcomes
from runner.sweep.journal import ENDED, Journal, Standing, follow
from runner.sweep.outcome import Outcome
from runner.sweep.rounds import Plan, Record
from runner.sweep.space import Point, key_of

IDLE_SECONDS = 60.0  # before a start; what is more was time in which the sweep did not run


@dataclass(frozen=True)
class Ended:
    """The end of a trial.

    Args:
        place: how many trials had ended then, this one among them.
        seconds: of the sweep.
    """

    trial: int
    place: int
    seconds: float


@dataclass(frozen=True)
class Course:
    """A sweep from its first trial on.

    Args:
        trials: in the order of their numbers.
        ends: in their own order.
        configured: values of searched keys where a trial says nothing of them.
    """

    plan: Plan
    metric: str
    rounds: Sequence[Record]
    trials: Sequence[Standing]
    ends: Sequence[Ended]
    outcome: Outcome
    configured: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The searched keys, each once."""
        return list(dict.fromkeys(key_of(name) for name in self.plan.space.dimensions))

    @property
    def searches(self) -> list[Record]:
        return [record for record in self.rounds if record["kind"] == "search"]

    def of_round(self, record: Record) -> list[Standing]:
        return [trial for trial in self.trials if trial.round == record["index"]]

    def value(self, trial: Standing, key: str) -> str | None:
        """What a trial has for a searched key; None where the key has no place in it."""
        return self.plan.point(trial).get(key, self.configured.get(key))

    def name(self, trial: Standing, key: str) -> str:
        """The dimension that a trial's value of a key was drawn from: the one under its choice, if there is one."""
        point = {**trial.choices, **self.plan.point(trial)}
        for name in self.plan.space.dimensions:
            condition = name.partition("[")[2].rstrip("]")
            group, _, option = condition.partition("=")
            if key_of(name) == key and condition and point.get(group) == option:
                return name
        return key

    @property
    def best_score(self) -> float | None:
        """Of the best setting: its mean over the seeds of the finals, where there were any."""
        if self.outcome.finals:
            return self.outcome.finals[0].estimate.mean
        return self.outcome.best.score if self.outcome.best else None

    @property
    def winner(self) -> Point | None:
        best = self.outcome.best
        if best is None:
            return None
        values = {key: self.value(best, key) for key in self.keys}
        return {key: value for key, value in values.items() if value is not None}

    def best_so_far(self) -> list[float | None]:
        """The best score of the finished trials at each end."""
        by_number = {trial.trial: trial for trial in self.trials}
        better = max if self.plan.mode == "max" else min
        best: float | None = None
        found = []
        for end in self.ends:
            trial = by_number[end.trial]
            if trial.status == "finished" and trial.score is not None:
                best = trial.score if best is None else better(best, trial.score)
            found.append(best)
        return found


def read_course(folder: SweepFolder, plan: Plan) -> Course:
    """The course of a sweep so far, from its folder."""
    events, _ = Journal(folder.journal).read()
    standings = follow({}, events)
    rounds: list[Record] = folder.record["rounds"]
    objective = folder.record["objective"] or {}
    return Course(
        plan,
        objective.get("name", "score"),
        rounds,
        [standings[number] for number in sorted(standings)],
        ends_of(events),
        outcomes.judge(plan, rounds, standings),
        _configured(folder, plan),
    )


def ends_of(events: Sequence[Mapping[str, Any]]) -> list[Ended]:
    """The ends of trials, in their order, with the seconds in which the sweep ran until then.

    The journal's times are whole seconds: what ends within one is spread over it.
    """
    found: list[Ended] = []
    same_second: dict[float, int] = {}
    for event, seconds in zip(events, _running_seconds(events), strict=True):
        if event["event"] in ENDED and event["trial"] not in {end.trial for end in found[-1:]}:
            found.append(Ended(event["trial"], len(found) + 1, seconds))
            same_second[seconds] = same_second.get(seconds, 0) + 1
    seen: dict[float, int] = {}
    spread = []
    for end in found:
        place = seen[end.seconds] = seen.get(end.seconds, 0) + 1
        spread.append(Ended(end.trial, end.place, end.seconds + place / same_second[end.seconds]))
    return spread


def _running_seconds(events: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds from the first event to each, without those before a resumption."""
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
