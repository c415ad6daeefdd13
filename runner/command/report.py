"""`runner report RUN ..`: a page about a run, about several side by side, or about a sweep."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from runner import files
from runner.arguments import ArgumentParser
from runner.command.stored import begin_again
from runner.errors import UserError
from runner.store import SWEEP, find_folder

REPORT = "report.html"


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, write the page, and name it."""
    parser = ArgumentParser(
        prog="runner report",
        description="Write a page about a run: choices, curves, test figures, mistakes, environment. "
        "Several runs stand side by side. A sweep's page shows what it has found so far. It needs no network.",
        epilog="example: runner report last",
    )
    parser.add_argument(
        "paths", nargs="+", type=find_folder, metavar="RUN", help="path, last, number or part of a name"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the run's folder, or here")
    parser.add_argument("--trust", action="store_true", help="let a sweep's config build classes that are not runner's")
    arguments = parser.parse_args(list(words))
    sweeps = [path for path in arguments.paths if (path / SWEEP).is_file()]
    if sweeps and len(arguments.paths) > 1:
        raise UserError(f"{sweeps[0]}: a sweep has a page of its own; give it alone")
    if sweeps:
        if arguments.out:
            raise UserError("--out: the page of a sweep shows the figures in its folder; leave --out out")
        return begin_again(sweeps[0], [], arguments.trust, only_report=True)
    from runner.compare.report import write_report

    file = arguments.out or (arguments.paths[0] / REPORT if len(arguments.paths) == 1 else Path(REPORT))
    files.replace_file(file, write_report(arguments.paths))
    Console().print(f"wrote {file}", highlight=False, markup=False, soft_wrap=True)
    return 0
