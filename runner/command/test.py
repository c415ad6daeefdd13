"""`runner test RUN ..`: scores on the test split, which nothing else reads; of several runs one by one and together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from runner import files
from runner.arguments import ArgumentParser
from runner.command.stored import WEIGHTS, find_members, split_words
from runner.errors import UserError
from runner.store import RunFolder
from runner.store.run_folder import TEST

if TYPE_CHECKING:
    from runner.inference.ensemble_scoring import EnsembleScores


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, test, print, and give the exit status."""
    arguments = _parser().parse_intermixed_args(list(words))
    runs, overrides, others = split_words(arguments.words)
    if others or not runs:
        raise UserError(f"test: {others[0]}: no such run" if others else "test: name a run; see runner test --help")
    members = find_members(runs)
    console = Console()
    given = {"weights": arguments.weights, "trust": arguments.trust, "data": arguments.data}
    if len(members) > 1:
        from runner.inference.ensemble_scoring import score_ensemble

        folders = [RunFolder.open(path) for path in members]
        found = score_ensemble(folders, overrides, averaging=arguments.average, greedy=arguments.greedy, **given)
        _print_ensemble(console, found)
        result = found.to_json()
    else:
        if arguments.greedy:
            raise UserError("--greedy: chooses among several runs; name more than one, or a sweep")
        from runner.inference.scoring import score_run

        folder = RunFolder.open(members[0])
        result = score_run(folder, overrides, calibrate=arguments.calibrate, **given)
        _print(console, result, folder, arguments.data)
    if arguments.out is not None:
        files.replace_file(arguments.out, json.dumps(result, indent=1) + "\n")
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="runner test",
        description="Score a run on the test split: accuracy with its 95% confidence interval, figures of each class, "
        "the confusion matrix, and calibration. Several runs, or a sweep, are scored one by one and as an ensemble.",
        epilog="example: runner test digits-convnet/7 engine.device=cpu",
    )
    what = "runs or sweeps: path, last, number, or any part of the name; and changes, such as data.root=elsewhere"
    parser.add_argument("words", nargs="+", metavar="RUN [RUN ..] [KEY=VALUE ..]", help=what)
    parser.add_argument("--weights", default="best", help=WEIGHTS)
    parser.add_argument("--data", metavar="OTHER", help="score another folder or table with images of the same classes")
    parser.add_argument("--calibrate", action="store_true", help="keep the temperature that fits val, for predictions")
    parser.add_argument("--average", default="probabilities", choices=("probabilities", "logits", "votes"),
                        help="how several runs are averaged")  # fmt: skip
    parser.add_argument("--greedy", action="store_true", help="choose among the runs by their loss on val")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the scores as JSON")
    parser.add_argument("--trust", action="store_true", help="let a stored config build classes that are not runner's")
    return parser


def _print(console: Console, result: dict[str, Any], folder: RunFolder, other: str | None) -> None:
    which = f"{folder.path}: {result['checkpoint']} (epoch {result['epoch']})"
    console.print(which + (f" on {other}" if other else ""), highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in ("images", "recall", "95% interval", "precision", "F1"):
        table.add_column(heading, justify="right")
    for name, row in result["classes"].items():
        cells = [_figure(row["recall"]), _interval(row["recall_ci"]), _figure(row["precision"]), _figure(row["f1"])]
        table.add_row(name, str(row["num_images"]), *cells)
    macro = result["macro"]
    table.add_row(
        "mean", "", _figure(macro["recall"]), "", _figure(macro["precision"]), _figure(macro["f1"]), style="bold"
    )
    console.print(table)
    top5 = "" if result["top5_accuracy"] is None else f"top-5 {result['top5_accuracy']:.4f}  "
    accuracy = f"accuracy [bold]{result['accuracy']:.4f}[/] (95% interval {_interval(result['accuracy_ci'])})"
    line = f"test loss [bold]{result['loss']:.4f}[/]  {accuracy}  {top5}on {result['num_images']:,} images"
    console.print(line, highlight=False, soft_wrap=True)
    calibration = result["calibration"]
    console.print(
        f"calibration error {calibration['error']:.4f}; {calibration['error_at_temperature']:.4f} at temperature "
        f"{calibration['temperature']:.3g}, which val gives",
        highlight=False,
        soft_wrap=True,
    )
    if other:
        return
    for test in folder.tests[1:]:
        console.print(_brief(test), highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {folder.path / TEST} and figures in {folder.figures}", highlight=False, soft_wrap=True)


def _print_ensemble(console: Console, found: EnsembleScores) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("member", "accuracy", "95% interval", "loss", *(("weight",) if found.weights else ())):
        table.add_column(heading, justify="left" if heading == "member" else "right", overflow="fold")
    for place, (name, one) in enumerate(zip(found.names, found.members, strict=True)):
        weight = (f"{found.weights[place]:.2f}",) if found.weights else ()
        table.add_row(name, _figure(one.accuracy.mean), _bounds(one.accuracy), _figure(one.loss), *weight)
    for name, one in (("mean member", found.mean_member), ("ensemble", found.ensemble)):
        table.add_row(name, _figure(one.accuracy.mean), _bounds(one.accuracy), _figure(one.loss), style="bold")
    console.print(table)
    gain = found.gain
    text = f"ensemble over its mean member: {gain.mean:+.4f} (95% interval {gain.ci_low:+.4f} to {gain.ci_high:+.4f})"
    console.print(f"{text}, bootstrap over {found.num_images:,} images", highlight=False, soft_wrap=True)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def _bounds(one: Any) -> str:
    return _interval((one.ci_low, one.ci_high))


def _brief(test: Mapping[str, Any]) -> str:
    """An earlier test: which checkpoint, by which test-time augmentation, and its accuracy."""
    tta = test.get("tta")
    keys = tta.items() if isinstance(tta, dict) else ()
    words = [str(value).removeprefix("runner.tta.") if key == "_target_" else f"{key}={value}" for key, value in keys]
    which = f"{test.get('checkpoint')} (epoch {test.get('epoch')})"
    return f"before: {which} by {' '.join(words)}: accuracy {test['accuracy']:.4f}"
