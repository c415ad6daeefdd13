"""The result of a sweep in words, for the terminal and the report alike."""

import math

from runner.formatting import seconds_text
from runner.statistics import Estimate
from runner.sweep.record.rounds import FinalRound, Round, name
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.result import SweepResult
from runner.sweep.space.space import Point


def format_point(point: Point) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items())


def format_counts(result: SweepResult) -> str:
    """How many trials have which status."""
    return ", ".join(f"{count} {status}" for status, count in sorted(result.counts.items()) if count)


def format_number(count: int, noun: str) -> str:
    """A count with its noun: 1 trial, 2 trials."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_estimate(estimate: Estimate, metric: str) -> str:
    """A mean over fresh seeds with its interval, cut at what an accuracy (0 to 1) or a loss (from 0) can be."""
    if estimate.n < 2:
        return f"{estimate.mean:.4f} on one fresh seed, which says nothing of how sure it is"
    if estimate.std == 0:
        return f"{estimate.mean:.4f} on each of {estimate.n} fresh seeds, too alike to say how sure it is"
    least = 0.0 if metric.endswith(("accuracy", "loss")) else -math.inf
    most = 1.0 if metric.endswith("accuracy") else math.inf
    low, high = (min(max(bound, least), most) for bound in (estimate.ci_low, estimate.ci_high))
    return f"{estimate.mean:.4f} (95% confidence interval {low:.4f} to {high:.4f}) over {estimate.n} fresh seeds"


def sentences(result: SweepResult, metric: str) -> list[str]:
    """What the sweep found; the first sentence is the answer."""
    if result.best is None:
        return ["No trial has finished, so there is no best point."]
    best = f"Best: {format_point(result.best.point)}."
    if not result.finalists:
        found = [
            f"{best} {metric} {result.best.score:.4f} in trial {result.best.trial}, on one seed; "
            "sweep.num_finalists=2 would say how sure that is."
        ]
    else:
        found = [f"{best} {metric} {format_estimate(result.finalists[0].estimate, metric)}."]
        for finalist in result.finalists[1:]:
            verdict = "Not distinguishable from it" if finalist in result.same else "Behind it in the finals"
            found.append(f"{verdict}: {format_point(finalist.point)} (mean {finalist.estimate.mean:.4f}).")
    found += [f"Widened on the way: {note}." for note in result.notes]
    found += [f"At an edge still: {edge}; a wider range may hold a better one." for edge in result.edges]
    return found


def describe_round(round_: Round, rounds: list[Round]) -> str:
    """One line on what a round trains."""
    parts = []
    for key, about in round_.ranges.items():
        if "options" in about:
            parts.append(f"{key}: " + ", ".join(f"{option} {share:.0%}" for option, share in about["options"].items()))
        else:
            parts.append(f"{key}: {about['low']:.3g} to {about['high']:.3g}")
    if isinstance(round_, FinalRound):
        parts.append(f"{format_number(len(round_.points), 'point')} on {format_number(len(round_.seeds), 'seed')} each")
    return f"{name(round_, rounds)}: {format_size(round_)}; {'; '.join(parts)}"


def format_size(round_: Round) -> str:
    """A round's number of trials, and their length where the task knows epochs: 3 trials of 2 epochs."""
    return " of ".join(filter(None, [format_number(round_.num_trials, "trial"), format_epochs(round_)]))


def format_epochs(round_: Round) -> str:
    """How long a round's trials are; nothing where the task knows no epochs."""
    return format_number(round_.epochs, "epoch") if round_.epochs else ""


def trial_headings(history: SweepHistory) -> list[str]:
    """Headings of a table of trials."""
    return ["trial", "round", "status", history.metric, "epochs", "seconds", *history.keys]


def trial_cells(history: SweepHistory, trial: TrialRecord) -> list[str]:
    """A trial's line in a table of trials."""
    return [
        str(trial.trial),
        history.label(history.rounds[trial.round]),
        trial.status,
        format_score(trial.score),
        str(trial.epochs) if trial.epochs else "",
        seconds_text(trial.seconds),
        *(history.value(trial, key) or "" for key in history.keys),
    ]


def format_score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}" if abs(score) < 1e4 else f"{score:.4g}"
