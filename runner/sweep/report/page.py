"""The report of a sweep: one static page in its folder, which needs nothing else."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.formatting import duration
from runner.plot.html import Cells, Link, captioned, heading, page, paragraph, table, verbatim
from runner.store import SweepFolder
from runner.sweep.record.rounds import FinalRound, Round, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures.axes import number_text
from runner.sweep.report.figures.draw import ReportFigure
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import format_counts, format_number, format_score, sentences, trial_cells, trial_headings
from runner.sweep.space.space import condition_of, key_of

REPORT = "report.html"
TITLES = {
    "search_space": "Search space",
    "slice": "Slice",
    "history": "Optimization history",
    "importance": "Hyperparameter importance",
    "parallel_coordinates": "Parallel coordinates",
}


def write_report(
    folder: SweepFolder, history: SweepHistory, figures: Sequence[ReportFigure], command: str | None
) -> Path:
    """Write `report.html`. `command` trains the best point alone."""
    folder.replace(REPORT, report(folder, history, figures, command))
    return folder.path / REPORT


def report(folder: SweepFolder, history: SweepHistory, figures: Sequence[ReportFigure], command: str | None) -> str:
    """The page: result, rounds, figures, trials, and what it takes to repeat the sweep."""
    record = folder.record
    title = f"Sweep of {', '.join(history.keys)}"
    better = "higher" if history.plan.objective.mode == "max" else "lower"
    subtitle = f"{record['name']}, begun {record['started'].replace('T', ' ')}; by {history.metric}, {better} is better"
    return page(
        title,
        subtitle,
        [
            *_result(history, command, float(record["seconds"])),
            heading("Rounds"),
            *_rounds(history),
            *_figures(figures),
            heading("All trials"),
            *_trials(history, folder.path),
            heading("To repeat this sweep"),
            *_repetition(folder),
        ],
    )


# ---------------------------------------------------------------------------------------------------------------------


def _result(history: SweepHistory, command: str | None, seconds: float) -> list[str]:
    first, *others = sentences(history.result, history.metric)
    parts = [paragraph(first, "lead"), *(paragraph(sentence) for sentence in others)]
    total = sum(history.result.counts.values())
    trials = f"{format_number(total, 'trial')}: {format_counts(history.result)}" if total else "No trial was queued"
    parts.append(paragraph(f"{trials}, in {duration(seconds)}."))
    if command:
        parts += [paragraph("The command that trains the best point alone, at full length:"), verbatim(command)]
    return parts


def _rounds(history: SweepHistory) -> list[str]:
    if not history.rounds:
        return [paragraph("None was begun.")]
    headings = ["round", "trials", "epochs", "best score", *history.keys]
    rows = []
    for round_ in history.rounds:
        scores = [t.score for t in history.of_round(round_) if t.status == "finished" and t.score is not None]
        best = history.plan.objective.best(scores)
        epochs = str(round_.epochs) if round_.epochs else ""
        rows.append(
            [history.label(round_), str(round_.num_trials), epochs, format_score(best), *_searched(history, round_)]
        )
    parts = [table(Cells(headings, rows, [False, True, True, True, *(False for _ in history.keys)]))]
    if history.plan.settings.pruner == "halving":
        parts.append(paragraph("Successive halving: only the better half of a round goes on after half its epochs."))
    return parts


def _searched(history: SweepHistory, round_: Round) -> list[str]:
    """What a round searches of each key."""
    held = history.plan.strategy.held(round_) if isinstance(round_, SearchRound) else None
    cells = []
    for key in history.keys:
        parts = []
        for name, about in round_.ranges.items():
            if key_of(name) == key:
                condition = condition_of(name)
                parts.append(_range(about) + (f" ({condition})" if condition else ""))
        if not parts and held is not None:
            parts = [f"held at {held[key]}"] if key in held else ["as configured"]
        if not parts and isinstance(round_, FinalRound):
            parts = list(dict.fromkeys(point[key] for point in round_.points if key in point))
        cells.append("\n".join(parts))
    return cells


def _range(about: dict[str, Any]) -> str:
    if "options" in about:
        return ", ".join(f"{option} {share:.0%}" for option, share in about["options"].items())
    zero = f", or 0 ({about['zero']:.0%})" if about.get("zero") else ""
    return f"{number_text(about['low'])} to {number_text(about['high'])}{zero}"


def _figures(figures: Sequence[ReportFigure]) -> list[str]:
    """Every figure with its caption, and why there are no others."""
    parts = []
    missing: dict[str, list[str]] = {}
    for figure in figures:
        if figure.png is None:
            missing.setdefault(figure.reason, []).append(figure.name)
        else:
            parts += [heading(TITLES[figure.name]), captioned(figure.png, TITLES[figure.name], figure.caption)]
    if missing:
        parts.append(heading("Not drawn"))
        parts += [paragraph(f"{', '.join(names)}: {reason}.") for reason, names in missing.items()]
    return parts


def _trials(history: SweepHistory, folder: Path) -> list[str]:
    if not history.trials:
        return [paragraph("None.")]
    headings = [*trial_headings(history), "folder", "reason"]
    right = [True, False, False, True, True, True, *(False for _ in history.keys), False, False]
    rows = [_trial(history, trial, folder) for trial in history.trials]
    best = history.result.best
    place = history.trials.index(best) if best in history.trials else None
    return [table(Cells(headings, rows, right, place, prose=[len(headings) - 1]))]


def _trial(history: SweepHistory, trial: TrialRecord, folder: Path) -> list[str | Link]:
    link: str | Link = Link(trial.folder, trial.folder) if (folder / trial.folder).is_dir() else trial.folder
    return [*trial_cells(history, trial), link, trial.reason if trial.error else ""]


def _repetition(folder: SweepFolder) -> list[str]:
    about = folder.environment
    known = {"python": about.get("python"), **about.get("packages", {})}
    versions = [f"{name} {version}" for name, version in known.items() if version]
    commit = about.get("commit")
    command = shlex.join(["runner", "sweep", *folder.record["overrides"]])  # as it was lengthened
    parts = [verbatim(command), paragraph(f"Seed of the points: {folder.record['seed']}.")]
    if versions:
        parts.append(paragraph(f"Versions: {', '.join(versions)}."))
    if commit:
        changes = ", with uncommitted changes" if about.get("uncommitted_changes") else ""
        parts.append(paragraph(f"Commit: {commit}{changes}."))
    if "platform" in about:
        parts.append(paragraph(f"Machine: {about['platform']}, {about.get('cpus')} CPUs."))
    return parts
