"""A table of runs as text: columns, the rule behind its signs, and formats for other programs."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from runner.compare.difference import REPEATS, freeze
from runner.compare.table import BEST, SAME, UNKNOWN, Row, Table, fields, status_text
from runner.formatting import cell_of_csv, seconds_text
from runner.statistics import ALPHA
from runner.store.run_index import NOTE, ROUND, TAGS

FOLD = "data.fold"
SIGNS = {BEST: "*", SAME: "=", UNKNOWN: "?"}
FIXED, COUNTS, GROUPS, KEYS, CONSTANT, MORE, FOLDER, FOLLOWS = range(8)  # ranks of columns


@dataclass
class Column:
    """A column of text; those of lower rank are kept where not all fit."""

    name: str
    cells: list[str]
    rank: int
    right: bool = True

    @property
    def heading(self) -> str:
        """The name, broken at its last dot, which makes the column narrower."""
        head, dot, tail = self.name.rpartition(".")
        return f"{head}{dot}\n{tail}" if dot else self.name

    @property
    def num_distinct(self) -> int:
        return len(set(self.cells))

    @property
    def width(self) -> int:
        return max(map(cell_len, [*self.heading.split("\n"), *self.cells]))


def columns(table: Table, rows: Sequence[Row]) -> list[Column]:
    """Every column as text, in their order from left to right."""
    whole = all(row.statuses.keys() == {"finished"} for row in rows)
    repeated = any(row.estimate.n > 1 for row in rows)
    halves = [row.estimate.ci_high - row.estimate.mean for row in rows]
    spread = [
        Column("±95%", [_number(half) for half in halves], COUNTS),
        Column("std", [_number(row.estimate.std) for row in rows], MORE),
    ]
    ranks = _ranks(table, rows)
    shared = shared_folder(rows)
    folders = [folder_of(row).removeprefix(shared).lstrip(os.sep) if shared else folder_of(row) for row in rows]

    def numeric(key: str) -> bool:
        return all(isinstance(row.settings[key], int | float | None) for row in rows)

    shown = {key: rank for key, rank in ranks.items() if rank != FOLLOWS}
    about = {name: [_annotation(row, name) for row in rows] for name in (TAGS, NOTE)}
    return [
        Column("", [SIGNS.get(row.verdict, "") for row in rows], FIXED, right=False),
        *(Column(key, [_setting_text(row, key) for row in rows], rank, numeric(key)) for key, rank in shown.items()),
        Column(table.metric, [_metric_cell(row) for row in rows], FIXED),
        *(Column(name, cells, COUNTS, right=False) for name, cells in about.items() if any(cells)),
        *(spread if repeated else []),
        Column("n", [str(row.estimate.n) for row in rows], COUNTS),
        Column("status", [status_text(row) for row in rows], MORE if whole else COUNTS, right=False),
        Column("epochs", ["-" if row.epochs is None else f"{row.epochs:.4g}" for row in rows], MORE),
        Column("time", ["-" if row.seconds is None else f"{seconds_text(row.seconds)} s" for row in rows], MORE),
        Column("images/s", [_rate(row.images_per_second) for row in rows], MORE),
        Column("folder", folders, FOLDER, right=False),
    ]


def _ranks(table: Table, rows: Sequence[Row]) -> dict[str, int]:
    """The rank of each key's column: groups, keys that vary within an option, those that an option decides last.

    A key is decided by an option where that is so in all rows, and there are two rows an option or more. It follows
    where the option is of its own group. Beside another group's it may have been set, so it only comes after what is
    not decided, as does what is the same in all rows shown, of more that there are.
    """
    implied = {difference.key for difference in table.differences if difference.implied}
    groups = [key for key in table.keys if any(key in row.runs[0].choices for row in table.rows)]
    frozen = {key: [freeze(row.settings[key]) for row in table.rows] for key in table.keys}
    same = {key for key in table.keys if len({freeze(row.settings[key]) for row in rows}) == 1 < len(rows)}

    def decides(group: str, key: str) -> bool:
        options = len(set(frozen[group]))
        return 1 < options <= len(table.rows) / 2 and len(set(zip(frozen[group], frozen[key], strict=True))) == options

    ranks = {}
    for key in table.keys:
        chosen = key in groups or key == ROUND
        by = {group for group in groups if not chosen and decides(group, key)}
        follows = key in implied or key.partition(".")[0] in by
        ranks[key] = FOLLOWS if follows else CONSTANT if key in same or by else GROUPS if chosen else KEYS
    return ranks


def _setting_text(row: Row, key: str) -> str:
    """A value as one would write it on the command line; a dash where there is no such key."""
    value = row.settings[key]
    return "-" if value is None and key not in row.runs[0].config else value_text(value)


def value_text(value: Any, digits: int | None = 6) -> str:
    """A value of a config as one would write it on the command line. `digits`: of a fraction; None for all."""
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)


def _annotation(row: Row, name: str) -> str:
    """Tags of any of a row's runs, or their notes."""
    texts = [str(run.config[name]) for run in row.runs if name in run.config]
    if name == TAGS:
        return " ".join(dict.fromkeys(tag for text in texts for tag in text.split()))
    return "; ".join(dict.fromkeys(texts))


def _metric_cell(row: Row) -> str:
    if row.samples:
        return _number(row.estimate.mean)
    return "-" if row.interim is None else f"({_number(row.interim)})"


def _number(value: float) -> str:
    if value != value:  # NaN
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def labels(table: Table, rows: Sequence[Row]) -> list[str]:
    """What tells each row from the others shown, in the words of the command line."""
    ranks = _ranks(table, rows)
    keys = [key for key, rank in ranks.items() if rank in (GROUPS, KEYS)]
    keys = [key for key in keys if len({_setting_text(row, key) for row in rows}) > 1]
    return [" ".join(f"{key}={_setting_text(row, key)}" for key in keys) or "all runs" for row in rows]


def separating(wanted: Sequence[Column]) -> list[int]:
    """The fewest columns of settings, by their places, that tell all rows apart which any of them do.

    Found one after another: each is the one that tells most rows from those that looked the same before.
    """
    candidates = [place for place, column in enumerate(wanted) if column.rank in (GROUPS, KEYS, CONSTANT)]
    found: list[int] = []
    seen: list[tuple[str, ...]] = [() for _ in wanted[0].cells]
    while candidates:
        after = {place: _with(seen, wanted[place]) for place in candidates}
        best = max(candidates, key=lambda place: (len(set(after[place])), -wanted[place].rank, -wanted[place].width))
        if len(set(after[best])) == len(set(seen)):
            break
        found.append(best)
        candidates.remove(best)
        seen = after[best]
    return found


def _with(seen: Sequence[tuple[str, ...]], column: Column) -> list[tuple[str, ...]]:
    return [(*before, cell) for before, cell in zip(seen, column.cells, strict=True)]


def rule(table: Table) -> str:
    """How the signs were decided, in one line."""
    ranking = table.ranking
    if ranking.best is None:
        return f"no finished run has a value of {table.metric} yet; values in brackets are of runs that may go on"
    parts = [f"* best mean {table.metric} ({table.mode})"]
    if ranking.p:
        alike = ", ".join(table.varying) or "seed"
        pairs = f"paired t test over runs alike in {alike}"
        test = "Welch's t test"
        if ranking.paired:
            test = pairs if len(ranking.paired) == len(ranking.p) else f"{pairs}, Welch's where fewer than two are"
        over = f", Holm over {len(ranking.p)} comparisons" if len(ranking.p) > 1 else ""
        parts.append(f"= not distinguishable from it ({test}; alpha {ALPHA:g}{over})")
    if ranking.unknown:
        parts.append("? nothing can be said: one value only, in this row or the best; add seeds, as in seed=0,1,2")
    if any(row.estimate.n > 1 for row in table.rows):
        parts.append("±95%: Student's t")
    return "; ".join(parts)


def notes(table: Table, rows: Sequence[Row]) -> list[str]:
    """What else one must know to read the table: brackets, what varies within rows, rows left out."""
    found = [searches_note(table)] if table.num_searches else []
    if not all(row.ranked for row in table.rows):
        found.append(
            "search trials have no sign: the best of many is so by luck too, and the finals tell, on fresh seeds"
        )
    if table.ranking.best is not None and any(not row.samples and row.interim is not None for row in rows):
        found.append("values in brackets are of runs that have not finished; they do not count")
    if any(row.num_values > row.estimate.n for row in rows):
        alike = ", ".join(table.varying) or "seed"
        found.append(f"n is below the number of runs: those alike in {alike} count once, with their mean")
    if FOLD in table.varying:
        found.append(
            f"folds of cross-validation ({FOLD}) count as seeds do, each a value of n; they share training images, so "
            "the intervals are too narrow"
        )
    within = [key for key in table.varying if key not in REPEATS]
    if within:
        found.append(f"within rows there also vary: {', '.join(within)}")
    if follows := [key for key, rank in _ranks(table, rows).items() if rank == FOLLOWS]:
        found.append(f"left out, for they follow from the others: {', '.join(follows)}")
    if not table.keys:
        repeats = " and the ".join(key.removeprefix("data.") for key in REPEATS if key in table.varying)
        found.append("nothing differs between these runs" + (f" but the {repeats}" if repeats else ""))
    if len(rows) < len(table.rows):
        found.append(f"{len(table.rows) - len(rows)} more rows (--limit)")
    return found


def searches_note(table: Table) -> str:
    number = table.num_searches
    trials = "1 search trial" if number == 1 else f"{number} search trials"
    why = "the finals ran the best of them again, on fresh seeds"
    return f"{trials} left out: {why} (--include-search-trials shows them too)"


def title(table: Table) -> str:
    runs, rows = table.num_runs, len(table.rows)
    return f"{runs} run{'s' * (runs != 1)} in {rows} row{'s' * (rows != 1)}"


def folder_of(row: Row) -> str:
    """The best run's folder, from the current folder where it lies below that."""
    path, here = os.path.abspath(row.best_run.path), os.getcwd()  # noqa: PTH100, PTH109 - a thousand times, fast
    return path[len(here) + 1 :] if path.startswith(here + os.sep) else path


def shared_folder(rows: Sequence[Row]) -> str:
    """The folder that all rows' folders lie in, where there are several."""
    folders = {str(Path(folder_of(row)).parent) for row in rows}
    try:
        shared = os.path.commonpath(folders) if len(rows) > 1 else ""
    except ValueError:  # some absolute, some not
        return ""
    return "" if shared == os.sep else shared


def folder_note(rows: Sequence[Row]) -> list[str]:
    """Where the folders of the table lie, if that is one place."""
    shared = shared_folder(rows)
    return [f"folders are in {shared}"] if shared else []


# ---------------------------------------------------------------------------------------------------------------------
# Formats


def as_json(table: Table, rows: Sequence[Row]) -> str:
    """A list of objects, one a row, with every run's own value."""
    objects = []
    for row in rows:
        plain: dict[str, Any] = {"metric": table.metric, "mode": table.mode, "keys": row.settings}
        plain |= fields(row, folder_of(row)) | {"status": dict(row.statuses)}
        plain["runs"] = [
            {
                "folder": str(run.path),
                "seed": run.config.get("seed"),
                "status": run.status,
                "value": run.best(row.objective),
                "epochs": run.epochs,
            }
            for run in row.runs
        ]
        objects.append(plain)
    return json.dumps(objects, indent=1, default=str) + "\n"


def as_csv(table: Table, rows: Sequence[Row]) -> str:
    """A header and a line a row, in full precision; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plain = [fields(row, folder_of(row)) for row in rows]
    names = ["verdict", *table.keys, "metric", "mode", *(name for name in plain[0] if name != "verdict")]
    writer.writerow(names)
    for row, values in zip(rows, plain, strict=True):
        settings = ["" if row.settings[key] is None else value_text(row.settings[key], None) for key in table.keys]
        cells = [values.pop("verdict"), *settings, table.metric, table.mode, *values.values()]
        writer.writerow(cell_of_csv(cell) if isinstance(cell, str) else cell for cell in cells)
    return text.getvalue()


def as_markdown(table: Table, rows: Sequence[Row]) -> str:
    """A table to paste into a report, the best row in bold, the rule beneath."""
    shown = columns(table, rows)
    lines = [_line(column.name for column in shown), _line("---:" if column.right else "---" for column in shown)]
    for index, row in enumerate(rows):
        cells = [column.cells[index].replace("|", "\\|").replace("*", "\\*") for column in shown]
        lines.append(_line(f"**{cell}**" if cell and row.verdict == BEST else cell for cell in cells))
    text = [f"{title(table)}; {rule(table)}", *notes(table, rows), *folder_note(rows)]
    return "\n".join([*lines, "", *(line.replace("*", "\\*") for line in text), ""])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
