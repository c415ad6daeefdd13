"""The page about a run, or about several side by side: one HTML file that needs nothing else."""

import io
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.compare.format import value_text
from runner.formatting import duration, number
from runner.plot import html
from runner.plot.curves import Curve, draw_curves
from runner.store import RunFolder
from runner.store.run_folder import ENVIRONMENT
from runner.store.run_index import RunSummary

CURVES = ("accuracy", "loss")
FIGURES = (  # of `runner test` and of the training, with captions
    ("confusion.png", "Confusion matrix on the test split"),
    ("test_mistakes.png", "The surest mistakes on the test split"),
    ("test_unsure.png", "The images of the test split that the network is least sure of"),
    ("reliability.png", "Reliability: how often predictions of one confidence are right"),
    ("training_images.png", "Training images as the network sees them"),
)
SHOWN_ENVIRONMENT = ("python", "platform", "host", "cpus", "device", "folder", "commit", "uncommitted_changes")


def write_report(paths: Sequence[Path]) -> str:
    """The page, from the runs' own files.

    Raises:
        UserError: a run cannot be read.
    """
    runs = [RunSummary.read(path) for path in paths]
    names = _names(paths)
    alone = len(runs) == 1
    title = f"Run {names[0]}" if alone else f"{len(runs)} runs"
    subtitle = _subtitle(runs[0]) if alone else ", ".join(map(str, paths))
    body = [*_lead(runs, names), html.heading("Curves"), *_curves(runs, names)]
    folders = [RunFolder.open(path) for path in paths]
    body += [*_tests(folders, names), *_pictures(folders, names)]
    body += [html.heading("Choices"), *_choices(runs, names)]
    body += [html.heading("Environment"), _environment(folders, names)]
    return html.page(title, subtitle, body)


def _names(paths: Sequence[Path]) -> list[str]:
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _subtitle(run: RunSummary) -> str:
    words = [str(run.path), run.status, f"begun {run.record.get('started', '')}"]
    if run.seconds is not None:
        words.append(duration(run.seconds))
    return ", ".join(words)


def _lead(runs: Sequence[RunSummary], names: Sequence[str]) -> Iterator[str]:
    for run, name in zip(runs, names, strict=True):
        objective = run.record.get("objective") or {}
        parts = [] if len(runs) == 1 else [name]
        if isinstance(objective.get("value"), int | float):
            parts.append(f"best {objective['name']} {objective['value']:.4f} in epoch {objective['epoch']}")
        if run.record.get("error"):
            parts.append(str(run.record["error"]).strip().splitlines()[-1])
        yield html.paragraph(": ".join(parts) or "No epoch has ended.", "lead")
        command = shlex.join(["runner", "train", *map(str, run.record.get("overrides") or [])])
        yield html.verbatim(command)


def _curves(runs: Sequence[RunSummary], names: Sequence[str]) -> Iterator[str]:
    for kind in CURVES:
        if len(runs) == 1:
            drawn = [Curve(split, [runs[0].curve(f"{split}/{kind}")]) for split in ("train", "val")]
        else:
            drawn = [Curve(name, [run.curve(f"val/{kind}")]) for run, name in zip(runs, names, strict=True)]
        if not any(points for curve in drawn for points in curve.runs):
            continue
        metric = kind if len(runs) == 1 else f"val/{kind}"
        pngs = {}
        for dark, narrow in html.FORMS:
            file = io.BytesIO()
            draw_curves(drawn, metric, file, dark=dark, narrow=narrow)
            pngs[dark, narrow] = file.getvalue()
        yield f"<p>{html.picture_in_forms(pngs, f'{metric} over epochs')}</p>"


def _tests(folders: Sequence[RunFolder], names: Sequence[str]) -> Iterator[str]:
    """The scores on the test split: a line for each weights and test-time augmentation; of a run alone its classes."""
    rows = []
    for folder, name in zip(folders, names, strict=True):
        for test in folder.tests:
            calibration = test.get("calibration") or {}
            rows.append(
                [
                    name,
                    f"{test.get('checkpoint')} (epoch {test.get('epoch')}), {test.get('weights', 'trained')}",
                    str((test.get("tta") or {}).get("_target_", "")).rpartition(".")[2],
                    _figure(test.get("accuracy")),
                    _interval(test.get("accuracy_ci")),
                    _figure(test.get("loss")),
                    _figure((test.get("macro") or {}).get("f1")),
                    _figure(calibration.get("error")),
                ]
            )
    if not rows:
        return
    yield html.heading("Test split")
    headings = ["run", "weights", "tta", "accuracy", "95% interval", "loss", "mean F1", "calibration error"]
    yield html.table(html.Cells(headings, rows, [False] * 3 + [True] * 5))
    if len(folders) == 1 and (classes := folders[0].tests[0].get("classes")):
        cells = [
            [name, str(row["num_images"]), _figure(row["recall"]), _figure(row["precision"]), _figure(row.get("f1"))]
            for name, row in classes.items()
        ]
        yield html.table(html.Cells(["class", "images", "recall", "precision", "F1"], cells, [False] + [True] * 4))


def _figure(value: Any) -> str:
    return number(float(value)) if isinstance(value, int | float) else "-"


def _interval(bounds: Any) -> str:
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if isinstance(bounds, list) and len(bounds) == 2 else "-"


def _pictures(folders: Sequence[RunFolder], names: Sequence[str]) -> Iterator[str]:
    for file, caption in FIGURES:
        for folder, name in zip(folders, names, strict=True):
            path = folder.path / "figures" / file
            if path.is_file():
                whose = caption if len(folders) == 1 else f"{caption}: {name}"
                yield html.captioned(path.read_bytes(), whose, whose)


def _choices(runs: Sequence[RunSummary], names: Sequence[str]) -> Iterator[str]:
    """Every key with its value; of several runs first those in which they differ."""
    groups = list(dict.fromkeys(group for run in runs for group in run.choices))
    keys = list(dict.fromkeys(key for run in runs for key in run.config))
    rows = [[group, *(run.choices.get(group, "-") for run in runs)] for group in groups]
    values = [[key, *(_text(run, key) for run in runs)] for key in keys]
    headings = ["", *(names if len(runs) > 1 else ["option"])]
    right = [False] * (1 + len(runs))
    if len(runs) == 1:
        yield html.table(html.Cells(headings, rows, right))
        yield html.table(html.Cells(["key", "value"], values, right))
        return
    differ = [row for row in [*rows, *values] if len(set(row[1:])) > 1]
    alike = [row for row in [*rows, *values] if len(set(row[1:])) == 1]
    yield html.paragraph("In these they differ:" if differ else "They differ in nothing.")
    if differ:
        yield html.table(html.Cells(headings, differ, right))
    yield html.paragraph("In these they are alike:")
    yield html.table(html.Cells(["key", "value"], [row[:2] for row in alike], [False, False]))


def _text(run: RunSummary, key: str) -> str:
    return value_text(run.config[key], None) if key in run.config else "-"


def _environment(folders: Sequence[RunFolder], names: Sequence[str]) -> str:
    found = [folder.read_json(ENVIRONMENT) for folder in folders]
    rows = [[key, *(str(one.get(key, "-")) for one in found)] for key in SHOWN_ENVIRONMENT]
    packages = list(dict.fromkeys(name for one in found for name in one.get("packages") or {}))
    rows += [[name, *(str((one.get("packages") or {}).get(name, "-")) for one in found)] for name in packages]
    headings = ["", *(names if len(folders) > 1 else ["value"])]
    return html.table(html.Cells(headings, rows, [False] * (1 + len(folders))))
