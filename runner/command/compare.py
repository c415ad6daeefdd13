"""`runner compare PATH...`: runs side by side, repeats over seeds as one row, and how sure the best is. No torch."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from runner.arguments import ArgumentParser
from runner.compare import format as form
from runner.compare.difference import check_keys
from runner.compare.filter import where
from runner.compare.metric import check_metric, shared_objective
from runner.compare.table import BEST, SAME, Row, Table, sort_rows, tabulate
from runner.config import FREE_KEYS
from runner.errors import UserError
from runner.objective import Mode, Objective, direction
from runner.store import find_folder
from runner.store.run_index import FINALS, NOTE, ROUND, SEARCH, TAGS, RunSummary, find_runs, without_searches

USUAL_METRIC = "val/accuracy"
# Keys that may change when a run goes on and yet decide how well it does.
DECISIVE = {
    *("engine.epochs", "engine.max_steps", "engine.patience", "engine.eval_every_epochs"),
    *("data.root", "data.file"),
}
IGNORED = {*FREE_KEYS, "sweep", TAGS, NOTE} - DECISIVE
NUM_FIXED = 2  # the first columns: the sign and the metric have a place however narrow the terminal

EPILOG = """\
examples:
  runner compare                                        all runs under outputs
  runner compare outputs/digits-mlp --by optimizer      one row an optimizer, whatever else varies
  runner compare --where 'optimizer.lr<1e-2' --where status=finished --metric val/loss
  runner compare --format markdown > report.md;  runner compare --html report.html"""


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, compare, print, and give the exit status."""
    arguments = _arguments(words)
    _check_file(arguments.figure, "--figure", (".png", ".svg", ".pdf"))
    _check_file(arguments.html, "--html", (".html", ".htm"))
    found, damaged = find_runs(arguments.paths)
    for line in damaged:
        print(f"runner: {line}; left out", file=sys.stderr)
    if not found:
        raise UserError(f"{', '.join(map(str, arguments.paths))}: no run here can be read; name another folder")
    objective = (arguments.metric, arguments.mode)
    table = compare(found, arguments.by, *objective, arguments.where, arguments.include_search_trials)
    table.rows = sort_rows(table, arguments.sort, form.folder_of) if arguments.sort else table.rows
    rows = table.rows[: arguments.limit]
    if arguments.format == "table":
        show(Console(highlight=False), table, rows)
    else:
        as_text = {"json": form.as_json, "csv": form.as_csv, "markdown": form.as_markdown}[arguments.format]
        print(as_text(table, rows), end="")
        if table.num_searches and arguments.format in ("json", "csv"):  # which have no place for notes
            print(f"runner: {form.searches_note(table)}", file=sys.stderr)
    if arguments.figure:
        _draw(table, rows, arguments.figure)
    if arguments.html:
        _write(arguments.html, page(table, rows))
    for path in filter(None, [arguments.figure, arguments.html]):
        if arguments.format == "table":
            Console(highlight=False, soft_wrap=True).print(f"wrote {path}", markup=False)
    return 0


def compare(
    found: Sequence[RunSummary],
    by: Sequence[str] = (),
    metric: str | None = None,
    mode: Mode | None = None,
    conditions: Sequence[str] = (),
    search: bool = False,
) -> Table:
    """The runs that meet the conditions, as a table; with `search`, search trials beside the finals of their sweep.

    Raises:
        UserError: a key or the metric is in no run, or no run meets the conditions.
    """
    check_keys(found, by, "--by")
    runs = where(found, conditions)
    if not runs:
        raise UserError(f"--where {' --where '.join(conditions)}: none of the {len(found)} runs meets this; loosen it")
    decisive = {id(run) for run in without_searches(runs)}
    searches = [run for run in runs if id(run) not in decisive]
    if not search:
        runs = [run for run in runs if id(run) in decisive]
    kinds = {run.round for run in runs}
    if by and {SEARCH, FINALS} <= kinds:
        by = list(dict.fromkeys([*by, ROUND]))  # never pooled
    if metric is None:
        metric, shared_mode = shared_objective(runs, USUAL_METRIC)
        mode = mode or shared_mode
    else:
        check_metric(runs, metric)
    mode = mode or direction(metric)
    if mode is None:
        raise UserError(f"--mode: {metric} is neither accuracy nor loss; say which is better with --mode max or min")
    # Finals are like any runs of their settings; what was searched is not.
    table = tabulate(runs, Objective(metric, mode), by, IGNORED if SEARCH in kinds else IGNORED | {ROUND}, searches)
    table.num_searches = 0 if search else len(searches)
    return table


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="runner compare",
        description="What differs between runs, repeats over seeds as one row with mean and 95% interval, "
        "the best, and what cannot be told from it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", type=find_folder, metavar="PATH", help="runs or folders with runs (outputs)"
    )
    parser.add_argument("--by", action="append", default=[], metavar="KEY", help="one row for each value; repeatable")
    parser.add_argument("--metric", help="such as val/loss (the runs' own objective, else val/accuracy)")
    parser.add_argument("--mode", choices=("max", "min"), help="which is better (max for accuracy, min for loss)")
    parser.add_argument("--where", action="append", default=[], metavar="'KEY OP VALUE'", help="=, !=, <, <=, >, >=")
    parser.add_argument(
        "--include-search-trials", action="store_true", help="the search trials of sweeps with finals too"
    )
    parser.add_argument("--sort", metavar="KEY", help="any column, - before it: descending (the metric, best first)")
    parser.add_argument("--format", choices=("table", "json", "csv", "markdown"), default="table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the table and the curves")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the metric over epochs (.png, .svg, .pdf)")
    parser.add_argument("--limit", type=_positive, metavar="N", help="the first N rows only")
    arguments = parser.parse_intermixed_args(_joined(words))
    arguments.paths = arguments.paths or [Path("outputs")]
    return arguments


def _joined(words: Sequence[str]) -> list[str]:
    """`--sort -n` as `--sort=-n`, since argparse takes a word with a minus for a flag."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort":
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _check_file(path: Path | None, flag: str, endings: Sequence[str]) -> None:
    """A file that cannot be written is found before the work."""
    if path is None:
        return
    if path.suffix.lower() not in endings:
        raise UserError(f"{flag} {path}: must end in {' or '.join(endings)}")
    if not path.parent.is_dir() or path.is_dir():
        raise UserError(f"{flag} {path}: no such folder {path.parent}; make it first, or name a file elsewhere")


# ---------------------------------------------------------------------------------------------------------------------
# Terminal


def show(console: Console, table: Table, rows: Sequence[Row]) -> None:
    """Print the table, as many columns as fit, and the rule beneath it."""
    wanted = form.columns(table, rows)
    kept = fitting(wanted, console.width)
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in kept:
        shown.add_column(
            Text(column.heading), justify="right" if column.right else "left", no_wrap=True, vertical="bottom"
        )
    for index, row in enumerate(rows):
        style = {BEST: "bold green", SAME: "green"}.get(row.verdict)
        shown.add_row(*(Text(column.cells[index]) for column in kept), style=style)
    console.print(shown)
    lines = [form.title(table), form.rule(table), *form.notes(table, rows)]
    if len(kept) < len(wanted):
        left = [column.name for column in wanted if column not in kept]
        lines.append(
            f"{len(left)} column{'s' * (len(left) != 1)} left out for want of width: {', '.join(left)} "
            "(a wider terminal or --format markdown shows all)"
        )
    if any(column.name == "folder" for column in kept):
        lines += form.folder_note(rows)
    for line in lines:
        console.print(Text(line, style="dim"))
    if table.ranking.best is not None:
        best = next(row for row in table.rows if row.verdict == BEST)
        console.print(Text(f"best run: {form.folder_of(best)}"), soft_wrap=True)


def fitting(wanted: Sequence[form.Column], width: int) -> list[form.Column]:
    """The columns that fit side by side: the sign and the metric, then those that tell the rows apart, then by rank.

    Where the rows cannot all be told apart in that width, their folders are shown, for no two rows shall look the same.
    """
    separating = form.separating(wanted)
    fixed = [index for index, column in enumerate(wanted) if column.rank == form.FIXED]
    folder = [index for index, column in enumerate(wanted) if column.rank == form.FOLDER]
    others = sorted(range(len(wanted)), key=lambda index: (wanted[index].rank, -wanted[index].num_distinct))

    def fill(order: Sequence[int]) -> list[int]:
        kept: list[int] = []
        room = width
        for index in dict.fromkeys(order):
            room_after = room - wanted[index].width - 2 * bool(kept)
            if len(kept) < NUM_FIXED or room_after >= 0:
                kept.append(index)
                room = room_after
        return sorted(kept)

    kept = fill([*fixed, *separating, *others])
    if not set(separating) <= set(kept):
        kept = fill([*fixed, *folder, *separating, *others])
    return [wanted[index] for index in kept]


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def _curves(table: Table, rows: Sequence[Row]) -> list[Any]:
    from runner.plot.curves import MOST, Curve

    def curves(place: int, row: Row) -> list[Any]:
        # Beyond those drawn only their number counts, and their files need not be read.
        return [run.curve(table.metric) for run in row.counted] if place < MOST else []

    labels = form.labels(table, rows[:MOST])
    return [
        Curve(labels[place] if place < MOST else "", curves(place, row), bool(row.samples))
        for place, row in enumerate(rows)
    ]


def _draw(table: Table, rows: Sequence[Row], path: Path) -> None:
    from runner.plot.curves import draw_curves

    drawn = io.BytesIO()
    draw_curves(_curves(table, rows), table.metric, drawn, path.suffix.lower().removeprefix("."))
    _write(path, drawn.getvalue())


def page(table: Table, rows: Sequence[Row]) -> str:
    """The comparison as one HTML file."""
    from runner.plot import html
    from runner.plot.curves import draw_curves

    shown = form.columns(table, rows)
    curves = _curves(table, rows)
    pngs = {}
    for dark, narrow in html.FORMS:
        file = io.BytesIO()
        draw_curves(curves, table.metric, file, dark=dark, narrow=narrow)
        pngs[dark, narrow] = file.getvalue()
    best = next((index for index, row in enumerate(rows) if row.verdict == BEST), None)
    lines = [[column.cells[index] for column in shown] for index in range(len(rows))]
    cells = html.Cells([column.heading for column in shown], lines, [column.right for column in shown], best)
    name = f"Comparison by {table.metric}"
    under = [form.rule(table), *form.notes(table, rows), *form.folder_note(rows)]
    picture = f"<p>{html.picture_in_forms(pngs, f'{name} over epochs')}</p>"
    return html.page(name, form.title(table), [html.table(cells), *map(html.paragraph, under), picture])


def _write(path: Path, content: str | bytes) -> None:
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); name another file") from None
