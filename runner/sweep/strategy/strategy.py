"""What every strategy of a search promises."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from runner.objective import Objective
from runner.sweep.record.rounds import SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.space import Point, Space

Trials = Mapping[int, TrialRecord]


class Strategy(Protocol):
    """Draws the points of a search, round by round. Everything it needs again it writes into the round."""

    def __init__(self, settings: SweepSettings, space: Space, objective: Objective) -> None: ...

    def spread(self, rounds: Sequence[RoundPlan]) -> list[RoundPlan]:
        """The rounds that it makes of those in the settings."""

    def next_round(self, index: int, plan: RoundPlan, begun: Sequence[SearchRound], trials: Trials) -> SearchRound:
        """The search round to begin after those begun, once all of their trials have ended."""

    def points(self, round_: SearchRound) -> Iterator[Point]:
        """The points of a begun round: the same ones however often and whenever this is asked."""

    def can_grow(self, round_: SearchRound) -> bool:
        """Whether a begun round can be given more points."""

    def explored(self, begun: Sequence[SearchRound]) -> Space:
        """The space with each interval as wide as all that was searched of it."""

    def held(self, round_: SearchRound) -> Point | None:
        """The values that a round holds, where it searches one key at a time."""
