"""The strategy `coordinate`: one key after another, the others held at their best."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from runner.objective import Objective
from runner.seeds import derive
from runner.sweep.record.rounds import SearchRound
from runner.sweep.record.trial import rank
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.sampling import sample
from runner.sweep.space.space import Point, Space
from runner.sweep.strategy.finals import candidates
from runner.sweep.strategy.narrow import of_round
from runner.sweep.strategy.strategy import Trials


@dataclass(frozen=True)
class Coordinate:
    """Coordinate search. See `Strategy`.

    A round's entry `strategy` holds `key`, the dimension whose turn it is, and `held`, the best point of the others so
    far; what had no turn yet is as configured.
    """

    settings: SweepSettings
    space: Space
    objective: Objective

    def spread(self, rounds: Sequence[RoundPlan]) -> list[RoundPlan]:
        """Each round is divided among the keys."""
        number = len(self.space.dimensions)
        turns = [RoundPlan(max(2, plan.trials // number), plan.epochs) for plan in rounds]
        return [turn for turn in turns for _ in range(number)]

    def next_round(self, index: int, plan: RoundPlan, begun: Sequence[SearchRound], trials: Trials) -> SearchRound:
        name = list(self.space.dimensions)[len(begun) % len(self.space.dimensions)]
        one = replace(self.space, dimensions={name: self.space.dimensions[name]})
        ranked = candidates(begun, trials, self.objective)
        notes: list[str] = []
        previous = next((round_ for round_ in reversed(begun) if round_.strategy["key"] == name), None)
        if previous:
            one = self.space.restored(previous.ranges)
            points = [trial.point for trial in rank(of_round(previous, trials), self.objective)]
            elite = points[: max(2, ceil(self.settings.elite_fraction * len(points)))]
            if elite:
                one, notes = one.narrowed(elite, self.settings.max_shrink)
        return SearchRound(
            index=index,
            epochs=plan.epochs,
            num_trials=plan.trials,
            notes=notes,
            ranges=one.describe(),
            strategy={"key": name, "held": ranked[0].point if ranked else {}},
        )

    def points(self, round_: SearchRound) -> Iterator[Point]:
        space = self.space.restored(round_.ranges)
        seed = derive(self.settings.seed, "round", round_.index)
        drawn = sample(space, self.settings.sampler, seed, round_.num_trials)
        return itertools.islice(({**round_.strategy["held"], **point} for point in drawn), round_.num_trials)

    def can_grow(self, round_: SearchRound) -> bool:
        return True

    def explored(self, begun: Sequence[SearchRound]) -> Space:
        whole = self.space
        for round_ in begun:  # one key's turn has its own range alone
            whole = whole.joined(self.space.restored(round_.ranges))
        return whole

    def held(self, round_: SearchRound) -> Point | None:
        held: Point = round_.strategy["held"]
        return held
