"""What a sweep has found so far: the best setting, how sure that is, and edges that it lies at. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner import statistics
from runner.statistics import Estimate
from runner.sweep.execution.search import replaced
from runner.sweep.record.journal import Standing
from runner.sweep.space.space import Point, Range, distinct, key_of
from runner.sweep.strategy.plan import Plan, Record, rank

NOT_REPEATED = ("engine.epochs", "seed")  # words of a trial that its repetition at full length does not take over


@dataclass(frozen=True)
class Setting:
    """A setting that ran in the finals."""

    point: Point
    trials: list[Standing]
    estimate: Estimate


@dataclass
class Outcome:
    """The result of a sweep.

    `best` is the best trial: of the winning setting where there were finals, else of the longest rounds. `finals` are
    best first; `same` are those that cannot be told apart from the winner.
    """

    best: Standing | None
    finals: list[Setting] = field(default_factory=list)
    same: list[Setting] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # of ranges that were widened on the way
    counts: dict[str, int] = field(default_factory=dict)


def judge(plan: Plan, rounds: Sequence[Record], standings: Mapping[int, Standing]) -> Outcome:
    """The outcome of the rounds so far."""
    searches = [record for record in rounds if record["kind"] == "search"]
    ranked = plan.candidates(searches, standings)
    outcome = Outcome(ranked[0] if ranked else None)
    for trial in standings.values():
        outcome.counts[trial.status] = outcome.counts.get(trial.status, 0) + 1
    finals = [record for record in rounds if record["kind"] == "finals"]  # several, where the sweep was lengthened
    if finals:
        indices = {record["index"] for record in finals}
        _judge_finals(outcome, plan, finals, [trial for trial in standings.values() if trial.round in indices])
    outcome.notes = list(dict.fromkeys(note for record in searches for note in record["notes"]))
    if outcome.best and searches:
        outcome.edges = _edges(plan, searches, plan.point(outcome.best))
    return outcome


def _judge_finals(outcome: Outcome, plan: Plan, finals: Sequence[Record], trials: Sequence[Standing]) -> None:
    settings = []
    for point in distinct(point for record in finals for point in record["settings"]):
        alike = [trial for trial in trials if plan.point(trial) == point]
        own = rank(list({_seed(trial): trial for trial in alike}.values()), plan.mode)  # a seed counts once
        if own:
            settings.append(Setting(point, own, statistics.interval([trial.score or 0.0 for trial in own])))
    if not settings:
        return
    sign = -1 if plan.mode == "max" else 1
    outcome.finals = sorted(settings, key=lambda setting: sign * setting.estimate.mean)
    samples: dict[str, dict[Hashable, float]] = {
        str(number): {_seed(trial): trial.score or 0.0 for trial in setting.trials}
        for number, setting in enumerate(outcome.finals)
    }
    outcome.same = [outcome.finals[int(name)] for name in statistics.rank(samples, plan.mode).same if name != "0"]
    outcome.best = outcome.finals[0].trials[0]


def _edges(plan: Plan, searches: Sequence[Record], point: Point) -> list[str]:
    """Keys whose best value lies at the edge of all that was searched."""
    found = []
    whole = plan.space
    for record in searches:  # one key's turn has its own range alone
        ranges: Mapping[str, Any] = record["whole"] if "whole" in record else record["ranges"]
        whole = whole.joined(whole.restored({**whole.describe(), **ranges}))
    for name, dimension in whole.dimensions.items():
        if isinstance(dimension, Range) and whole.active(name, point):
            value = float(point[key_of(name)])
            if not (dimension.zero and value == 0) and (hit := dimension.hit(value)):
                found.append(f"{name}: {hit}")
    return found


def command(outcome: Outcome, fixed: Sequence[str]) -> str | None:
    """The command that trains the best setting alone, at full length."""
    if outcome.best is None:
        return None
    words = [word for word in outcome.best.overrides if word.partition("=")[0] not in NOT_REPEATED]
    return shlex.join(["runner", "train", *replaced(fixed, words)])


def _seed(trial: Standing) -> int:
    return int(next(word for word in trial.overrides if word.startswith("seed=")).partition("=")[2])


def record(outcome: Outcome, folder: Any) -> dict[str, Any] | None:
    """The entry `best` of sweep.json."""
    best = outcome.best
    if best is None:
        return None
    about: dict[str, Any] = {"trial": best.trial, "overrides": best.overrides, "score": best.score}
    about["folder"] = str(folder.path / best.folder)
    if outcome.finals:
        estimate = outcome.finals[0].estimate
        about |= {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "num_seeds": estimate.n}
        about["indistinguishable"] = [setting.point for setting in outcome.same]
    return about
