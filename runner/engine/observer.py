"""What watches a training."""

from typing import Protocol

from runner.engine.state import TrainState

Record = dict[str, float]  # an epoch's metrics by name


def how_it_ended(state: TrainState | None, trial: int, error: BaseException | None) -> tuple[str, str]:
    """The status of a trial at the end of a training, and its reason; `state` is None where it has not begun."""
    if isinstance(error, Exception):
        return "failed", f"{type(error).__name__}: {error}"
    if state is None:
        return "running", ""
    ended = state.trials[trial]
    return ("interrupted" if ended.status == "running" else ended.status), ended.reason


class Observer(Protocol):
    """Watches a run and never touches its weights. See `runner.log`.

    `__exit__`, where it has one, is called at the end as that of a context manager, with the error that ended the run.
    """

    def started(self, state: TrainState) -> None: ...
    def reported(self, state: TrainState, losses: list[float]) -> None: ...
    def epoch_ended(self, state: TrainState, records: list[Record]) -> None: ...
