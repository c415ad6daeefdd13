"""The plan of a sweep: its search by a strategy, then its finals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runner.objective import Objective
from runner.sweep.record.rounds import FinalRound, Round, SearchRound, finals, searches
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.space import Point, Space, distinct
from runner.sweep.strategy.coordinate import Coordinate
from runner.sweep.strategy.finals import candidates, final_seeds
from runner.sweep.strategy.narrow import Narrow
from runner.sweep.strategy.strategy import Strategy, Trials

STRATEGIES: dict[str, type[Strategy]] = {"narrow": Narrow, "coordinate": Coordinate}


@dataclass(frozen=True)
class Suggestion:
    """A point to train, with a seed where it is not the configured one."""

    point: Point
    seed: int | None = None


@dataclass(frozen=True)
class Plan:
    """All that decides what a sweep runs.

    Args:
        round_plans: as the settings have them.
        epochs: of a run at full length; None where the task knows no epochs.
    """

    settings: SweepSettings
    space: Space
    round_plans: Sequence[RoundPlan]
    epochs: int | None
    objective: Objective

    @cached_property
    def strategy(self) -> Strategy:
        return STRATEGIES[self.settings.strategy](self.settings, self.space, self.objective)

    @cached_property
    def search_plans(self) -> list[RoundPlan]:
        """The rounds that the strategy makes of them."""
        return self.strategy.spread(self.round_plans)

    def next_round(self, begun: Sequence[Round], trials: Trials) -> Round | None:
        """The round to begin, once all trials of those begun have ended; None at the end."""
        search = searches(begun)
        if len(search) < len(self.search_plans):
            return self.strategy.next_round(len(begun), self.search_plans[len(search)], search, trials)
        points = distinct(trial.point for trial in candidates(search, trials, self.objective))
        points = points[: self.settings.num_finalists]
        if not points or [final.points for final in finals(begun)[-1:]] == [points]:
            return None
        seeds, number = final_seeds(self.settings, self.settings.num_final_seeds), len(points)
        return FinalRound(
            index=len(begun), epochs=self.epochs, num_trials=number * len(seeds), points=points, seeds=seeds
        )

    def suggestions(self, round_: Round) -> list[Suggestion]:
        """What a begun round trains, the same however often and whenever this is asked."""
        if isinstance(round_, FinalRound):
            return [Suggestion(point, seed) for seed in round_.seeds for point in round_.points]
        assert isinstance(round_, SearchRound)
        return [Suggestion(point) for point in self.strategy.points(round_)]

    def lengthen(self, begun: Sequence[Round]) -> None:
        """More trials for rounds that have begun, where the settings have come to ask for more."""
        for round_, plan in zip(searches(begun), self.search_plans, strict=False):
            if self.strategy.can_grow(round_):
                round_.num_trials = max(round_.num_trials, plan.trials)
        for final in finals(begun)[-1:]:
            final.seeds = final_seeds(self.settings, max(len(final.seeds), self.settings.num_final_seeds))
            final.num_trials = len(final.points) * len(final.seeds)
