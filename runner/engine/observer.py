"""What watches a training."""

from typing import Protocol

from runner.engine.state import TrainState

Record = dict[str, float]  # an epoch's metrics by name


class Observer(Protocol):
    """Watches a run and never touches its weights. See `runner.log`.

    `__exit__`, where it has one, is called at the end as that of a context manager, with the error that ended the run.
    """

    def started(self, state: TrainState) -> None: ...
    def reported(self, state: TrainState, losses: list[float]) -> None: ...
    def epoch_ended(self, state: TrainState, records: list[Record]) -> None: ...
