"""What a sweep has found so far: the best point, how sure that is, and edges that it lies at. Pure."""

import shlex
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import statistics
from runner.statistics import Estimate
from runner.sweep.record.rounds import FinalRound, Round, SearchRound, finals, searches
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.space.overrides import merge_overrides
from runner.sweep.space.space import Interval, Point, distinct, key_of
from runner.sweep.strategy.finals import candidates
from runner.sweep.strategy.plan import Plan


@dataclass(frozen=True)
class Finalist:
    """A point that ran in the finals."""

    point: Point
    trials: list[TrialRecord]
    estimate: Estimate


@dataclass
class SweepResult:
    """The result of a sweep.

    Args:
        best: the best trial: of the winning point where there were finals, else of the longest rounds.
        finalists: best first.
        same: those that cannot be told apart from the winner.
        edges: keys whose best value lies at the edge of all that was searched.
        notes: of ranges that were widened on the way.
        counts: trials by status.
    """

    best: TrialRecord | None
    finalists: list[Finalist] = field(default_factory=list)
    same: list[Finalist] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def summarize(plan: Plan, rounds: Sequence[Round], trials: Mapping[int, TrialRecord]) -> SweepResult:
    """The result of the rounds so far."""
    search = searches(rounds)
    ranked = candidates(search, trials, plan.objective)
    result = SweepResult(ranked[0] if ranked else None)
    result.counts.update(trial.status for trial in trials.values())
    if final_rounds := finals(rounds):
        _add_finals(result, plan, final_rounds, trials)
    result.notes = list(dict.fromkeys(note for round_ in search for note in round_.notes))
    if result.best and search:
        result.edges = _edges(plan, search, result.best.point)
    return result


def _add_finals(
    result: SweepResult, plan: Plan, rounds: Sequence[FinalRound], trials: Mapping[int, TrialRecord]
) -> None:
    indices = {round_.index for round_ in rounds}
    final_trials = [trial for trial in trials.values() if trial.round in indices]
    finalists = []
    for point in distinct(point for round_ in rounds for point in round_.points):
        alike = {trial.seed: trial for trial in final_trials if trial.point == point}  # a seed counts once
        finished = rank(alike.values(), plan.objective)
        if finished:
            finalists.append(Finalist(point, finished, statistics.interval([t.score or 0.0 for t in finished])))
    if not finalists:
        return
    result.finalists = sorted(finalists, key=lambda finalist: plan.objective.order(finalist.estimate.mean))
    samples: dict[str, dict[Hashable, float]] = {
        str(number): {trial.seed: trial.score or 0.0 for trial in finalist.trials}
        for number, finalist in enumerate(result.finalists)
    }
    same = statistics.rank(samples, plan.objective.mode).same
    result.same = [result.finalists[int(name)] for name in same if name != "0"]
    result.best = result.finalists[0].trials[0]


def _edges(plan: Plan, search: Sequence[SearchRound], point: Point) -> list[str]:
    found = []
    whole = plan.strategy.explored(search)
    for name, dimension in whole.dimensions.items():
        if isinstance(dimension, Interval) and whole.active(name, point):
            value = float(point[key_of(name)])
            if not (dimension.zero and value == 0) and (hit := dimension.hit(value)):
                found.append(f"{name}: {hit}")
    return found


def command_of_best(result: SweepResult, shared: Sequence[str]) -> str | None:
    """The command that trains the best point alone, at full length."""
    if result.best is None:
        return None
    point = [f"{key}={value}" for key, value in result.best.point.items()]
    return shlex.join(["runner", "train", *merge_overrides(shared, point)])


def to_json(result: SweepResult, folder: Path) -> dict[str, Any] | None:
    """The entry `best` of sweep.json."""
    best = result.best
    if best is None:
        return None
    path = str(folder / best.folder)
    entry: dict[str, Any] = {"trial": best.trial, "overrides": best.overrides, "score": best.score, "folder": path}
    if result.finalists:
        estimate = result.finalists[0].estimate
        entry |= {"mean": estimate.mean, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
        entry |= {"num_seeds": estimate.n, "indistinguishable": [finalist.point for finalist in result.same]}
    return entry
