"""`runner predict RUN PATH..`: labels for new images."""

from __future__ import annotations

import csv
import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from runner import files
from runner.arguments import ArgumentParser
from runner.command.stored import WEIGHTS, find_members, split_words
from runner.errors import UserError
from runner.formatting import cell_of_csv
from runner.store import RunFolder

if TYPE_CHECKING:
    from runner.inference.predict import Predictions

ALL_READ, SOME_UNREADABLE = 0, 1
UNSURE = "unsure"
SHOWN = 12  # images in a contact sheet's row
MAX_ON_SHEET = 480


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, predict, print or write; 1 where a file could not be read."""
    arguments = _parser().parse_intermixed_args(_before_dashes(words))
    runs, overrides, named = split_words(arguments.words)
    named += _after_dashes(words)
    if not runs:
        raise UserError("predict: name a run first, then image files or folders; see runner predict --help")
    if not named:
        raise UserError("predict: name image files or folders after the run; - reads their names from standard input")
    from runner.inference.classifier import Classifier, check_same_classes
    from runner.inference.predict import find_images, predict_files

    members = [
        Classifier.load(RunFolder.open(run), overrides, arguments.weights, arguments.trust)
        for run in find_members(runs)
    ]
    check_same_classes(members)
    paths = find_images(named)
    console = Console(stderr=True)
    predict = partial(predict_files, members, paths, arguments.average, arguments.embeddings is not None)
    if console.is_terminal and len(paths) > 1:  # where it is not shown, some versions of rich print an empty line
        with Progress(console=console, transient=True) as shown:
            found = predict(
                partial(shown.advance, shown.add_task(f"predicting {len(paths):,} images", total=len(paths)))
            )
    else:
        found = predict()
    for path, reason in found.unreadable:
        print(f"runner: {path}: not a readable image ({reason}); skipped", file=sys.stderr)
    _write(found, arguments, members)
    return SOME_UNREADABLE if found.unreadable else ALL_READ


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="runner predict",
        description="Classify new images with a run's best weights, or with the average of several runs.",
        epilog="example: runner predict last photos --format csv --out labels.csv. "
        "A path with = in it is named after --. Exit status 1: a file could not be read.",
    )
    parser.add_argument(
        "words", nargs="*", metavar="RUN [RUN ..] [KEY=VALUE ..] PATH", help="runs, changes, then files or folders; "
        "- reads names of files from standard input"
    )  # fmt: skip
    parser.add_argument("--weights", default="best", help=WEIGHTS)
    parser.add_argument("--average", default="probabilities", choices=("probabilities", "logits", "votes"),
                        help="how several runs are averaged")  # fmt: skip
    parser.add_argument("--top", type=_positive, default=1, metavar="N", help="the N most probable classes")
    parser.add_argument("--threshold", type=_probability, metavar="P", help=f"below this probability say {UNSURE}")
    parser.add_argument("--format", choices=("table", "csv", "json", "jsonl"), default="table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of printing")
    parser.add_argument("--lists", type=Path, metavar="DIR", help="write a list of files for each class")
    parser.add_argument("--embeddings", type=Path, metavar="FILE", help="write features before the last layer (.npz)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write the images with their labels, and a sheet")
    parser.add_argument("--trust", action="store_true", help="let a stored config build classes that are not runner's")
    return parser


def _before_dashes(words: Sequence[str]) -> list[str]:
    return list(words[: list(words).index("--")] if "--" in words else words)


def _after_dashes(words: Sequence[str]) -> list[str]:
    return list(words[list(words).index("--") + 1 :]) if "--" in words else []


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return int(text)


def _probability(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"must be a number from 0 to 1, not {text}")
    return number


def _write(found: Predictions, arguments: Any, members: Sequence[Any]) -> None:
    rows = list(_rows(found, arguments.top, arguments.threshold))
    if arguments.out is not None or arguments.format != "table":
        format_ = arguments.format
        if format_ == "table":
            suffix = arguments.out.suffix.lower().lstrip(".")
            format_ = suffix if suffix in ("csv", "json", "jsonl") else "csv"
        text = {"csv": _as_csv, "json": _as_json, "jsonl": _as_json_lines}[format_](rows, arguments.top)
        if arguments.out is None:
            sys.stdout.write(text)
        else:
            files.replace_file(arguments.out, text)
    else:
        _print(rows, arguments.top)
    if arguments.lists is not None:
        _write_lists(rows, found.class_names, arguments.lists)
    if arguments.embeddings is not None:
        _write_embeddings(found, arguments.embeddings)
    if arguments.pictures is not None:
        _write_pictures(found, rows, members[0], arguments.pictures)


Row = tuple[str, list[tuple[str, float]]]  # the file, and its classes with their probabilities


def _rows(found: Predictions, top: int, threshold: float | None) -> Iterator[Row]:
    for path, best in zip(found.paths, found.top(top), strict=True):
        unsure = threshold is not None and best[0][1] < threshold
        yield str(path), [(UNSURE, best[0][1]), *best[1:]] if unsure else best


def _columns(top: int) -> list[str]:
    more = (name for place in range(2, top + 1) for name in (f"label_{place}", f"probability_{place}"))
    return ["file", "label", "probability", *more]


def _flat(row: Row) -> list[str | float]:
    file, best = row
    return [file, *(value for label, probability in best for value in (label, round(probability, 6)))]


def _as_csv(rows: Sequence[Row], top: int) -> str:
    from io import StringIO

    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns(top)[: 1 + 2 * max((len(best) for _, best in rows), default=top)])
    for row in rows:
        writer.writerow(cell_of_csv(cell) if isinstance(cell, str) else cell for cell in _flat(row))
    return text.getvalue()


def _objects(rows: Sequence[Row], top: int) -> Iterator[dict[str, Any]]:
    return (dict(zip(_columns(top), _flat(row), strict=False)) for row in rows)


def _as_json(rows: Sequence[Row], top: int) -> str:
    return json.dumps(list(_objects(rows, top)), indent=1) + "\n"


def _as_json_lines(rows: Sequence[Row], top: int) -> str:
    return "".join(json.dumps(one) + "\n" for one in _objects(rows, top))


def _print(rows: Sequence[Row], top: int) -> None:
    console = Console()
    if not console.is_terminal:  # a name is never cut where a program reads it
        console.width = max(80, 40 + max((len(file) for file, _ in rows), default=0) + 30 * top)
    table = Table(box=None, pad_edge=False)
    for name in _columns(top)[: 1 + 2 * max((len(best) for _, best in rows), default=1)]:
        table.add_column(name, justify="right" if name.startswith("probability") else "left", overflow="fold")
    from rich.markup import escape

    for file, best in rows:
        table.add_row(escape(file), *(text for label, p in best for text in (escape(label), f"{p:.4f}")))
    console.print(table)


def _write_lists(rows: Sequence[Row], class_names: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    by_label: dict[str, list[str]] = {name: [] for name in class_names}
    for file, best in rows:
        by_label.setdefault(best[0][0], []).append(file)
    for name, own in by_label.items():
        files.replace_file(folder / f"{_as_file_name(name)}.txt", "".join(f"{file}\n" for file in own))


def _as_file_name(text: str) -> str:
    return "".join("_" if character in '/\\:*?"<>|' or not character.isprintable() else character for character in text)


def _write_embeddings(found: Predictions, file: Path) -> None:
    import io

    import numpy as np

    assert found.embeddings is not None
    content = io.BytesIO()
    names = np.array([str(path) for path in found.paths])
    np.savez_compressed(content, files=names, embeddings=found.embeddings.numpy(), labels=np.array(found.labels))
    files.replace_file(file, content.getvalue())


def _write_pictures(found: Predictions, rows: Sequence[Row], member: Any, folder: Path) -> None:
    """Each image as the network sees it, with its label below, and all of them on a contact sheet."""
    import numpy as np

    from runner.plot.pictures import draw_images

    folder.mkdir(parents=True, exist_ok=True)
    source = member.described.files(found.paths)
    sheet: list[Any] = []
    captions: list[str] = []
    used: set[str] = set()
    for index, (file, best) in enumerate(rows):
        pixels = source.read([index])[0].permute(1, 2, 0).numpy()
        label, probability = best[0]
        caption = f"{label} {probability:.0%}"
        name = Path(file).stem
        name = name if name not in used else f"{name}-{index}"
        used.add(name)
        side = max(160, pixels.shape[0])
        files.replace_file(folder / f"{name}.png", draw_images(pixels[None], [caption], columns=1, side=side))
        if len(sheet) < MAX_ON_SHEET:
            sheet.append(pixels)
            captions.append(f"{caption}\n{Path(file).name}")
    if sheet:
        columns = min(SHOWN, len(sheet))
        files.replace_file(folder / "contact-sheet.png", draw_images(np.stack(sheet), captions, columns, side=96))
