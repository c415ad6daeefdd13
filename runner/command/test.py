"""`runner test FOLDER`: the scores of a run's weights on the test split, which nothing else reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from runner.command.stored import stored_run_parser
from runner.store import RunFolder
from runner.store.run_folder import TEST


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, test, print, and give the exit status."""
    parser = stored_run_parser(
        "test",
        "Loss, accuracy, top-5, a table by class and the confusion matrix on the test split.",
        "data.root=elsewhere",
        "test digits-convnet/7 engine.device=cpu",
    )
    parser.add_argument("--checkpoint", default="best", help="best (default), last, or a snapshot such as epoch-0010")
    arguments = parser.parse_intermixed_args(list(words))
    folder = RunFolder.open(arguments.folder)
    from runner.inference.scoring import CONFUSION, score_run

    result = score_run(folder, arguments.overrides, arguments.checkpoint, arguments.trust)
    _print(Console(), result, folder)
    for test in folder.tests[1:]:
        Console().print(_brief(test), highlight=False, markup=False, soft_wrap=True)
    wrote = f"wrote {folder.path / TEST} and {folder.figures / CONFUSION}"
    Console().print(wrote, highlight=False, soft_wrap=True)
    return 0


def _print(console: Console, result: dict[str, Any], folder: RunFolder) -> None:
    console.print(f"{folder.path}: {result['checkpoint']} (epoch {result['epoch']})", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in ("images", "recall", "precision"):
        table.add_column(heading, justify="right")
    for name, row in result["classes"].items():
        cells = ["-" if row[key] is None else f"{row[key]:.4f}" for key in ("recall", "precision")]
        table.add_row(name, str(row["num_images"]), *cells)
    console.print(table)
    console.print(
        f"test loss [bold]{result['loss']:.4f}[/]  accuracy [bold]{result['accuracy']:.4f}[/]  "
        f"top-5 {result['top5_accuracy']:.4f}  on {result['num_images']} images",
        highlight=False,
    )


def _brief(test: Mapping[str, Any]) -> str:
    """An earlier test: which checkpoint, by which test-time augmentation, and its accuracy."""
    tta = test.get("tta")
    keys = tta.items() if isinstance(tta, dict) else ()
    words = [str(value).removeprefix("runner.tta.") if key == "_target_" else f"{key}={value}" for key, value in keys]
    which = f"{test.get('checkpoint')} (epoch {test.get('epoch')})"
    return f"before: {which} by {' '.join(words)}: accuracy {test['accuracy']:.4f}"
