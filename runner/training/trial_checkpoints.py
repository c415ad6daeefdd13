"""Checkpoints of a sweep's trials, whose state at the end is saved only where somebody may want it.

A trial that is killed after its training and before its end is in the journal trains again from the checkpoint before,
to the same bits.
"""

from collections.abc import Callable, Sequence
from typing import Any

from runner.engine.checkpoint import Checkpoints
from runner.engine.state import TrainState
from runner.engine.vectorized.checkpoint import VectorizedCheckpoints

Wanted = Callable[[float | None], bool]  # whether the state at the end is, by the objective's best value


class TrialCheckpoints(Checkpoints):
    """Those of a trial that trains alone. See `Checkpoints`."""

    def __init__(self, *arguments: Any, wanted: Wanted, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.wanted = wanted

    def epoch_ended(self, state: TrainState, is_last: bool) -> None:
        if not is_last or self.wanted(state.trials[0].best_value):
            super().epoch_ended(state, is_last)


class VectorizedTrialCheckpoints(VectorizedCheckpoints):
    """Those of trials that train together. One that ends before the others is saved in any case, to stay with them."""

    def __init__(self, *arguments: Any, wanted: Sequence[Wanted], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.wanted = wanted

    def epoch_ended(self, state: TrainState, is_last: bool) -> None:
        for trial in state.present:
            if not is_last or self.wanted[trial](state.trials[trial].best_value):
                member = state.of(trial)
                self.members[trial].epoch_ended(member, is_last or not member.active)
