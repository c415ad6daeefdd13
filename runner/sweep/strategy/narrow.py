"""The strategy `narrow`: all keys together, each round around the best of the one before."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from runner.objective import Objective
from runner.seeds import derive
from runner.sweep.record.rounds import SearchRound
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.sampling import sample
from runner.sweep.space.space import Point, Space
from runner.sweep.strategy.strategy import Trials


@dataclass(frozen=True)
class Narrow:
    """Random search from coarse to fine. See `Strategy`.

    A round's entry `strategy` holds `whole`, the ranges as wide as ever searched, from which some points still come;
    `best`, the best point so far, which runs again; and `fixed`, the points themselves where there is nothing to draw.
    """

    settings: SweepSettings
    space: Space
    objective: Objective

    def spread(self, rounds: Sequence[RoundPlan]) -> list[RoundPlan]:
        return list(rounds)

    def next_round(self, index: int, plan: RoundPlan, begun: Sequence[SearchRound], trials: Trials) -> SearchRound:
        round_ = SearchRound(index=index, epochs=plan.epochs, num_trials=plan.trials, ranges=self.space.describe())
        if not begun:
            round_.strategy = {"whole": self.space.describe(), "best": None}
            round_.num_trials = len(list(self.points(round_)))  # a grid, or a finite space, may have fewer
            return round_
        last = begun[-1]
        ranked = [trial.point for trial in rank(of_round(last, trials), self.objective)]
        # Of all trials of the round, not of those that finished, so that failures make the search no less narrow.
        elite = ranked[: max(2, ceil(self.settings.elite_fraction * last.num_trials))]
        before = self.space.restored(last.ranges)
        space, round_.notes = before.narrowed(elite, self.settings.max_shrink) if elite else (before, [])
        whole = self.space.restored(last.strategy["whole"]).joined(space)
        round_.ranges = space.describe()
        round_.strategy = {"whole": whole.describe(), "best": ranked[0] if ranked else None}
        if space.size <= last.num_trials and ranked:  # nothing to draw: the better ones again, for longer
            fixed = ranked[: max(2, min(plan.trials, len(elite)))]
            round_.strategy["fixed"] = fixed
            round_.num_trials = len(fixed)
        return round_

    def points(self, round_: SearchRound) -> Iterator[Point]:
        drawn = iter(round_.strategy["fixed"]) if "fixed" in round_.strategy else self._drawn(round_)
        return itertools.islice(drawn, round_.num_trials)

    def can_grow(self, round_: SearchRound) -> bool:
        return "fixed" not in round_.strategy

    def explored(self, begun: Sequence[SearchRound]) -> Space:
        whole = self.space
        for round_ in begun:
            whole = whole.joined(whole.restored(round_.strategy["whole"]))
        return whole

    def held(self, round_: SearchRound) -> Point | None:
        return None

    def _drawn(self, round_: SearchRound) -> Iterator[Point]:
        """The best so far, then points of the narrow space with some of the whole one among them."""
        number, seed = round_.num_trials, derive(self.settings.seed, "round", round_.index)
        narrow = sample(self.space.restored(round_.ranges), self.settings.sampler, seed, number)
        best = round_.strategy["best"]
        if best is None:
            yield from narrow
            return
        whole_space = self.space.restored(round_.strategy["whole"])
        whole = sample(whole_space, self.settings.sampler, derive(seed, "whole"), number)
        explore = self.settings.explore_fraction
        seen = [best]
        yield best
        for place in itertools.count(1):
            explores = int(place * explore + 1e-9) > int((place - 1) * explore + 1e-9)
            stream = whole if explores else narrow
            point = next((point for point in stream if point not in seen), None)
            if point is None:
                return
            seen.append(point)
            yield point


def of_round(round_: SearchRound, trials: Trials) -> list[TrialRecord]:
    return [trial for trial in trials.values() if trial.round == round_.index]
