"""Which metrics runs have, and which way is better."""

from collections.abc import Iterable, Sequence

from runner.errors import UserError, did_you_mean
from runner.objective import Mode
from runner.store.run_index import RunSummary


def check_metric(runs: Sequence[RunSummary], metric: str) -> None:
    """Hold the metric to those that runs have.

    Raises:
        UserError: no run has it.
    """
    known = metric_names(runs)
    if metric not in known and not any(run.curve(metric) for run in runs):
        raise UserError(f"--metric {metric}: no run has this metric{did_you_mean(metric, known)}")


def metric_names(runs: Iterable[RunSummary]) -> set[str]:
    return {name for run in runs for name in run.metric_names} - {"epoch", "step"}


def shared_objective(runs: Iterable[RunSummary], default: str) -> tuple[str, Mode | None]:
    """The runs' own objective and its direction where they have one in common, else `default`."""
    found = set()
    for run in runs:
        objective = run.record.get("objective")
        if isinstance(objective, dict):
            found.add((str(objective.get("name")), objective.get("mode")))
    if len(found) != 1:
        return default, None
    ((name, mode),) = found
    return name, mode if mode in ("max", "min") else None
