"""`runner export RUN ..`: a trained network as one file for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from runner.arguments import ArgumentParser
from runner.command.stored import WEIGHTS, find_members, split_words
from runner.errors import UserError
from runner.store import RunFolder

if TYPE_CHECKING:
    from runner.inference.export import Exported

ON_CPU = "engine.device=cpu"


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, write the file, hold it to the network, and say how it does."""
    arguments = _parser().parse_intermixed_args(list(words))
    runs, overrides, others = split_words(arguments.words)
    if others or not runs:
        raise UserError(f"export: {others[0]}: no such run" if others else "export: name a run; see runner export -h")
    found = find_members(runs)
    if arguments.out is None and len(found) > 1:
        raise UserError("export: several runs in one file need its name, as in --out ensemble.onnx")
    from runner.inference.classifier import Classifier
    from runner.inference.export import SUFFIXES, export

    changes = [*overrides, ON_CPU]
    members = [Classifier.load(RunFolder.open(run), changes, arguments.weights, arguments.trust) for run in found]
    file = arguments.out or found[0] / f"model{SUFFIXES[arguments.format]}"
    made = export(members, file, arguments.format, arguments.quantize, arguments.max_drop)
    _print(made)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="runner export",
        description="Write a run's network as one file that takes images from 0 to 1 and gives class probabilities; "
        "several runs are averaged in it. The file is loaded again and held to the network on validation images.",
        epilog="example: runner export last --format onnx --out model.onnx",
    )
    what = "runs or sweeps: path, last, number, or any part of the name; and changes, such as tta=flip"
    parser.add_argument("words", nargs="+", metavar="RUN [RUN ..] [KEY=VALUE ..]", help=what)
    parser.add_argument("--format", choices=("onnx", "torch_export", "state_dict", "safetensors"), default="onnx")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: model.onnx, .pt2, .pt or .safetensors in the run's folder"
    )
    parser.add_argument("--quantize", choices=("int8",), help="weights and activations of 8 bits (onnx)")
    parser.add_argument("--max-drop", type=float, default=0.01, metavar="X", help="of val accuracy at int8 (0.01)")
    parser.add_argument("--weights", default="best", help=WEIGHTS)
    parser.add_argument("--trust", action="store_true", help="let a stored config build classes that are not runner's")
    return parser


def _print(made: Exported) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    headings = ("", "val accuracy", *(f"ms/image, batch {size}" for size in made.original.milliseconds))
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    for name, one in (("network", made.original), ("file", made.exported)):
        if one is not None:
            table.add_row(name, f"{one.accuracy:.4f}", *(f"{value:.3f}" for value in one.milliseconds.values()))
    console.print(table)
    if made.difference is not None:
        text = f"largest difference of a probability {made.difference:.2g} on {made.num_images:,} validation images"
        console.print(text, highlight=False, soft_wrap=True)
    size = f"{made.size / 2**20:.2f} MiB"
    console.print(f"wrote {made.file} ({size})", highlight=False, markup=False, soft_wrap=True)
