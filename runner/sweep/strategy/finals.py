"""The finals: the best points of the search, each on fresh seeds at full length."""

from collections.abc import Sequence

from runner.objective import Objective
from runner.seeds import derive
from runner.sweep.record.rounds import SearchRound
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.settings import SweepSettings
from runner.sweep.strategy.strategy import Trials


def candidates(begun: Sequence[SearchRound], trials: Trials, objective: Objective) -> list[TrialRecord]:
    """Finished trials of the search, best first; those of the longest rounds come before the others."""
    indices = {round_.index for round_ in begun}
    ranked = rank((trial for trial in trials.values() if trial.round in indices), objective)
    return sorted(ranked, key=lambda trial: -(trial.epochs or 0))


def final_seeds(settings: SweepSettings, number: int) -> list[int]:
    """The seeds of the finals; more of them begin with the fewer."""
    return [derive(settings.seed, "finals", place) % 10**6 for place in range(number)]
