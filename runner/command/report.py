"""`runner report RUN ..`: a page about a run, or about several side by side."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from runner import files
from runner.arguments import ArgumentParser
from runner.errors import UserError
from runner.store import SWEEP, find_folder

REPORT = "report.html"


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, write the page, and name it."""
    parser = ArgumentParser(
        prog="runner report",
        description="Write a page about a run: choices, curves, test figures, mistakes, environment. "
        "Several runs stand side by side. The page is one file, and needs no network.",
        epilog="example: runner report last",
    )
    parser.add_argument(
        "paths", nargs="+", type=find_folder, metavar="RUN", help="path, last, number or part of a name"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the run's folder, or here")
    arguments = parser.parse_args(list(words))
    for path in arguments.paths:
        if (path / SWEEP).is_file():
            raise UserError(f"{path}: a sweep has its own page, {path / REPORT}; name one of its trials")
    from runner.compare.report import write_report

    file = arguments.out or (arguments.paths[0] / REPORT if len(arguments.paths) == 1 else Path(REPORT))
    files.replace_file(file, write_report(arguments.paths))
    Console().print(f"wrote {file}", highlight=False, markup=False, soft_wrap=True)
    return 0
