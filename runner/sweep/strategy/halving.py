"""Successive halving: at half its epochs a round stops its worse half. Source: Jamieson and Talwalkar 2016."""

from collections.abc import Sequence
from math import ceil

from runner.objective import Objective
from runner.sweep.record.rounds import Round, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import SweepSettings


def half_epochs(round_: Round, settings: SweepSettings) -> int | None:
    """After how many epochs the trials of a round wait for the verdict; None where none is pruned."""
    if settings.pruner != "halving" or not isinstance(round_, SearchRound) or (round_.epochs or 0) < 2:
        return None
    return (round_.epochs or 0) // 2


def better_half(trials: Sequence[TrialRecord], objective: Objective) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """Of trials that wait at half their epochs, those that go on and those that are pruned."""
    scored = [(trial.half_score, trial) for trial in trials if trial.half_score is not None]
    ordered = [trial for _, trial in sorted(scored, key=lambda pair: (objective.order(pair[0]), pair[1].trial))]
    num_kept = ceil(len(ordered) / 2)
    return ordered[:num_kept], ordered[num_kept:]
