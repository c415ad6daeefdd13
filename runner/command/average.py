"""`runner average RUN ..`: the mean of the weights of several checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runner.arguments import ArgumentParser
from runner.command.stored import find_members, split_words
from runner.errors import UserError
from runner.store import RunFolder


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, write the mean, and say how it does beside its members."""
    arguments = _parser().parse_intermixed_args(list(words))
    runs, overrides, others = split_words(arguments.words)
    if others or not runs:
        raise UserError(f"average: {others[0]}: no such run" if others else "average: name runs; see runner average -h")
    from runner.inference.classifier import Classifier
    from runner.inference.soup import average_weights

    named = [(run, weights) for run in find_members(runs) for weights in arguments.weights.split(",")]
    members = [Classifier.load(RunFolder.open(run), overrides, weights, arguments.trust) for run, weights in named]
    made = average_weights(members, arguments.out)
    table = Table(box=None, pad_edge=False)
    table.add_column("weights", overflow="fold")
    table.add_column("val accuracy", justify="right")
    for (run, weights), accuracy in zip(named, made.accuracies, strict=True):
        table.add_row(f"{escape(str(run))} {weights}", f"{accuracy:.4f}")
    table.add_row("mean of the weights", f"{made.accuracy:.4f}", style="bold")
    console = Console()
    console.print(table)
    console.print(f"wrote {arguments.out}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"  runner test {runs[0]} --weights {arguments.out}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="runner average",
        description="Average the weights of several runs of one architecture, or of several checkpoints of one run "
        "(a model soup); normalization statistics are recomputed over the training images.",
        epilog="example: runner average last --weights epoch-0008,epoch-0009,epoch-0010 --out soup.pt",
    )
    what = "runs or sweeps: path, last, number, or any part of the name; and changes, such as data.root=elsewhere"
    parser.add_argument("words", nargs="+", metavar="RUN [RUN ..] [KEY=VALUE ..]", help=what)
    parser.add_argument(
        "--weights", default="best", help="of each run, by commas: best (default), last, epoch-0010, .."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file of the mean, .pt")
    parser.add_argument("--trust", action="store_true", help="let a stored config build classes that are not runner's")
    return parser
