"""A training that ends in a given time, with its schedule drawn over the steps that fit in."""

import time

from runner.constraints import seconds_of
from runner.engine.settings import Settings
from runner.engine.state import TrainState

MARGIN = 0.03  # of the time that is left: for the end of the run, and for steps that take longer


class TimeLimit:
    """Plans the number of updates anew whenever the pace has been measured; without `engine.max_time` it does nothing.

    What the plan is belongs to the state, so a run that goes on has the time that was left.
    """

    def __init__(self, settings: Settings, state: TrainState, steps_per_epoch: int) -> None:
        self.limit = None if settings.max_time is None else seconds_of(settings.max_time)
        self.steps_per_epoch = steps_per_epoch
        self.most = settings.epochs * steps_per_epoch
        if settings.max_steps is not None:
            self.most = min(self.most, settings.max_steps)
        self.before = state.seconds  # of earlier processes
        self.first_step = state.step
        self.began = time.monotonic()
        if self.limit is not None and state.planned_steps is not None:
            self._set(state, state.planned_steps)

    def plan(self, state: TrainState) -> None:
        """Draw the schedule over the updates that fit into the time, by the pace so far; whole epochs if one does."""
        if self.limit is None:
            return
        passed = time.monotonic() - self.began
        state.seconds = self.before + passed
        done = state.step - self.first_step
        if not done:
            return
        room = max(0.0, self.limit - state.seconds) * (1 - MARGIN)
        total = min(self.most, state.step + int(room * done / passed))
        if total >= self.steps_per_epoch:
            total -= total % self.steps_per_epoch
        self._set(state, max(state.step, total))

    def is_over(self, state: TrainState) -> bool:
        """Whether the time is up, or the updates that were planned are made."""
        if self.limit is None:
            return False
        over = self.before + time.monotonic() - self.began >= self.limit
        return over or (state.planned_steps is not None and state.step >= state.planned_steps)

    def _set(self, state: TrainState, total: int) -> None:
        state.planned_steps = total
        state.schedule.redraw(total)
