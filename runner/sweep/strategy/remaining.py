"""How much of a sweep is still to be trained. Pure."""

from collections.abc import Iterable, Sequence

from runner.sweep.record.rounds import FinalRound, Round, SearchRound, searches
from runner.sweep.record.trial import TrialRecord
from runner.sweep.strategy.halving import half_epochs
from runner.sweep.strategy.plan import Plan


def epochs_left(plan: Plan, begun: Sequence[Round], trials: Iterable[TrialRecord], fraction: float = 0.0) -> float:
    """Epochs that are left to train: of the rounds begun, of those to come, and of the finals.

    A trial of a task that knows no epochs counts as one epoch. With successive halving, one of two trials is expected
    to go on at half its epochs.

    Args:
        fraction: of their epochs that the running trials have trained.
    """
    begun_trials: dict[int, list[TrialRecord]] = {round_.index: [] for round_ in begun}
    for trial in trials:
        begun_trials[trial.round].append(trial)
    left = 0.0
    for round_ in begun:
        own = begun_trials[round_.index]
        left += (round_.num_trials - len(own)) * _expected(plan, round_)
        left += sum(_left(plan, round_, trial, fraction) for trial in own if not trial.ended)
    for coming in plan.search_plans[len(searches(begun)) :]:
        left += coming.trials * _expected(plan, SearchRound(index=0, epochs=coming.epochs, num_trials=coming.trials))
    if not (begun and isinstance(begun[-1], FinalRound)):
        left += plan.settings.num_finalists * plan.settings.num_final_seeds * (plan.epochs or 1)
    return left


def _expected(plan: Plan, round_: Round) -> float:
    """Epochs of a trial that has not begun."""
    epochs, half = round_.epochs or 1, half_epochs(round_, plan.settings)
    return epochs if half is None else half + (epochs - half) / 2


def _left(plan: Plan, round_: Round, trial: TrialRecord, fraction: float) -> float:
    epochs = round_.epochs or 1
    if trial.status == "waiting":
        return _expected(plan, round_) - (half_epochs(round_, plan.settings) or 0)
    goes_on = trial.half_score is not None  # with the better half
    trained = epochs * fraction if trial.status == "started" else 0.0
    return max(0.0, (epochs if goes_on else _expected(plan, round_)) - trained)
