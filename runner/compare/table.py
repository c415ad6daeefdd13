"""Runs as a table: repeats as one row, its standing, and which row is best."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from runner import renamed
from runner.compare.difference import REPEATS, Difference, differences, freeze, setting, settings
from runner.compare.filter import is_number
from runner.errors import UserError, did_you_mean
from runner.objective import Mode, Objective
from runner.statistics import Estimate, Ranking, interval, rank
from runner.store.run_index import RunSummary

BEST, SAME, WORSE, UNKNOWN = "best", "same", "worse", "unknown"
GOES_ON = ("running", "interrupted")  # whose value so far is worth showing


@dataclass
class Row:
    """Runs that are alike in the table's keys. `samples` are the finished runs' values, by what varies within rows."""

    settings: dict[str, Any]
    runs: list[RunSummary]
    objective: Objective
    samples: dict[Hashable, float] = field(default_factory=dict)
    num_values: int = 0  # finished runs with a value; more than samples where runs are alike
    ranked: bool = True
    verdict: str = ""  # best, same, worse, unknown, or empty where there is no value, or it is not ranked
    p_value: float | None = None

    @cached_property
    def estimate(self) -> Estimate:
        return interval(list(self.samples.values()))

    @cached_property
    def interim(self) -> float | None:
        """The mean value of runs that may yet finish, where none has."""
        return None if self.samples else mean(run.best(self.objective) for run in self._with(GOES_ON))

    @property
    def statuses(self) -> Counter[str]:
        return Counter(run.status for run in self.runs)

    @property
    def epochs(self) -> float | None:
        return mean(run.epochs for run in self.counted)

    @property
    def seconds(self) -> float | None:
        return mean(run.seconds for run in self.counted)

    @cached_property
    def images_per_second(self) -> float | None:
        return mean(run.images_per_second for run in self.counted)

    @property
    def counted(self) -> list[RunSummary]:
        """The finished runs, or all where none is."""
        return self._with(("finished",)) or self.runs

    @cached_property
    def best_run(self) -> RunSummary:
        def order(run: RunSummary) -> float:
            value = run.best(self.objective)
            return math.inf if value is None else self.objective.order(value)

        return min(self.counted, key=order)

    def _with(self, statuses: Collection[str]) -> list[RunSummary]:
        return [run for run in self.runs if run.status in statuses]


@dataclass
class Table:
    """Rows, best first, with the keys that tell them apart."""

    rows: list[Row]
    differences: list[Difference]
    ranking: Ranking
    metric: str
    mode: Mode
    varying: list[str]  # keys that vary within rows: pairs are alike in these
    num_searches: int = 0  # trials left out, since their sweep's finals tell more

    @property
    def keys(self) -> list[str]:
        return [difference.key for difference in self.differences]

    @property
    def num_runs(self) -> int:
        return sum(len(row.runs) for row in self.rows)


def tabulate(
    runs: Sequence[RunSummary],
    objective: Objective,
    by: Sequence[str] = (),
    ignored: Collection[str] = (),
    unranked: Sequence[RunSummary] = (),
) -> Table:
    """Group runs that differ in seed or fold alone, or by the keys named, and rank the groups; best first.

    A group of `unranked` runs alone is shown, but has no part in what is best.
    Finished runs alone count. Runs of one row that are alike in all that varies within rows (a seed trained twice)
    count as one, with their mean.
    """
    found = differences(runs, ignored)
    chosen = [Difference(key) for key in by] or [difference for difference in found if difference.key not in REPEATS]
    keys = [difference.key for difference in chosen]
    groups: dict[Hashable, list[RunSummary]] = {}
    for run in runs:
        groups.setdefault(settings(run, keys), []).append(run)

    def varies(key: str) -> bool:
        return any(len({freeze(setting(run, key)) for run in group}) > 1 for group in groups.values())

    others = dict.fromkeys([*(difference.key for difference in found if difference.key not in keys), "seed"])
    varying = [key for key in others if varies(key)]
    outside = set(map(id, unranked))
    rows = [_aggregate(group, keys, objective, varying) for group in groups.values()]
    for row in rows:
        row.ranked = any(id(run) not in outside for run in row.runs)
    ranking = _rank([row for row in rows if row.ranked], objective.mode)
    return Table(_ordered(rows, objective), chosen, ranking, objective.name, objective.mode, varying)


def _aggregate(group: list[RunSummary], keys: Sequence[str], objective: Objective, varying: Sequence[str]) -> Row:
    """The row of a group: the values of its finished runs, one for all that are alike in what varies."""
    values: dict[Hashable, list[float]] = {}
    for run in group:
        value = run.best(objective) if run.finished else None
        if value is not None:
            values.setdefault(settings(run, varying or ["seed"]), []).append(value)
    samples = {which: math.fsum(repeats) / len(repeats) for which, repeats in values.items()}
    num_values = sum(map(len, values.values()))
    return Row({key: setting(group[0], key) for key in keys}, group, objective, samples, num_values)


def _ordered(rows: Sequence[Row], objective: Objective) -> list[Row]:
    """Best first; rows without a finished run come last, those without any value at the very end."""

    def place(row: Row) -> tuple[bool, bool, float]:
        interim = row.interim
        value = row.estimate.mean if row.samples else (interim if interim is not None else 0.0)
        return not row.samples, interim is None, objective.order(value)

    best = [row for row in rows if row.verdict == BEST]  # before those of equal mean
    return [*best, *sorted((row for row in rows if row.verdict != BEST), key=place)]


def _rank(rows: Sequence[Row], mode: Mode) -> Ranking:
    ranking = rank({str(index): row.samples for index, row in enumerate(rows)}, mode)
    verdicts = dict.fromkeys(ranking.same, SAME) | dict.fromkeys(ranking.worse, WORSE)
    verdicts |= dict.fromkeys(ranking.unknown, UNKNOWN)
    if ranking.best is not None:
        verdicts[ranking.best] = BEST
    for index, row in enumerate(rows):
        row.verdict, row.p_value = verdicts.get(str(index), ""), ranking.p.get(str(index))
    return ranking


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are there."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def fields(row: Row, folder: str) -> dict[str, Any]:
    """A row's standing as plain data; a number that is not known is null."""
    estimate = row.estimate
    plain = {
        "verdict": row.verdict,
        "status": status_text(row),
        "n": estimate.n,
        "mean": estimate.mean,
        "std": estimate.std,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "p_value": row.p_value,
        "interim": row.interim,
        "epochs": row.epochs,
        "seconds": row.seconds,
        "images_per_second": row.images_per_second,
        "folder": folder,
    }
    return {name: None if value != value else value for name, value in plain.items()}  # NaN alone differs from itself


def status_text(row: Row) -> str:
    """`finished`, or how many runs have each status: `3 finished, 1 diverged`."""
    counts = row.statuses
    if len(counts) == 1:
        return next(iter(counts))
    ordered = sorted(counts, key=lambda status: (status != "finished", status))
    return ", ".join(f"{counts[status]} {status}" for status in ordered)


def sort_rows(table: Table, key: str, folder_of: Callable[[Row], str]) -> list[Row]:
    """The rows by a column, ascending, or descending with a leading minus; those without a value last.

    Raises:
        UserError: there is no such column.
    """
    name = key.removeprefix("-")
    name = {table.metric: "mean", "time": "seconds"}.get(name, name)
    values = [fields(row, folder_of(row)) | row.settings for row in table.rows]
    known = {*values[0], table.metric}
    if name not in known:
        hint = renamed.hint(renamed.COLUMNS, name) or did_you_mean(name, known)
        raise UserError(f"--sort {name}: no such column{hint}")

    def place(pair: tuple[Row, Any]) -> tuple[bool, float, str]:
        value = pair[1]
        return (False, value, "") if is_number(value) else (True, 0.0, str(value))

    pairs = [(row, value[name]) for row, value in zip(table.rows, values, strict=True)]
    valued = sorted((p for p in pairs if p[1] not in (None, "")), key=place, reverse=key.startswith("-"))
    return [row for row, _ in valued] + [row for row, value in pairs if value in (None, "")]
