"""The report of a sweep: one static page in its folder, which needs nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.compare.format import seconds_text
from runner.plot.html import Cells, Link, captioned, heading, page, paragraph, table, verbatim
from runner.store import SweepFolder
from runner.sweep.record.journal import Standing
from runner.sweep.report.figures.axes import number_text
from runner.sweep.report.figures.figures import Picture
from runner.sweep.report.history import Course
from runner.sweep.report.result import Outcome
from runner.sweep.space.space import Point

REPORT = "report.html"
TITLES = {
    "points": "Where the good settings lie",
    "keys": "Key by key",
    "progress": "How the search went",
    "importance": "Which keys matter",
    "parallel": "Whole settings",
}


def write_report(folder: SweepFolder, course: Course, pictures: Sequence[Picture], command: str | None) -> Path:
    """Write `report.html`. `command` trains the best setting alone."""
    folder.replace(REPORT, report(folder, course, pictures, command))
    return folder.path / REPORT


def report(folder: SweepFolder, course: Course, pictures: Sequence[Picture], command: str | None) -> str:
    """The page: result, rounds, pictures, trials, and what it takes to repeat the sweep."""
    record = folder.record
    title = f"Sweep of {', '.join(course.keys)}"
    better = "higher" if course.plan.mode == "max" else "lower"
    subtitle = f"{record['name']}, begun {record['started'].replace('T', ' ')}; by {course.metric}, {better} is better"
    return page(
        title,
        subtitle,
        [
            *_result(course, command, float(record["seconds"])),
            heading("Rounds"),
            *_rounds(course),
            *_pictures(pictures),
            heading("All trials"),
            *_trials(course, folder.path),
            heading("To repeat this sweep"),
            *_repetition(folder),
        ],
    )


# ---------------------------------------------------------------------------------------------------------------------


def _result(course: Course, command: str | None, seconds: float) -> list[str]:
    outcome = course.outcome
    first, *others = sentences(course)
    parts = [paragraph(first, "lead"), *(paragraph(sentence) for sentence in others)]
    parts.append(paragraph(f"{_counts(outcome)}, in {duration(seconds)}."))
    if command:
        parts += [paragraph("The command that trains the best setting alone, at full length:"), verbatim(command)]
    return parts


def sentences(course: Course) -> list[str]:
    """What the sweep found, in words."""
    outcome = course.outcome
    if outcome.best is None or course.winner is None:
        return ["No trial has finished, so there is no best setting. The errors are in the table of all trials."]
    best = f"Best: {shown(course.winner)}."
    found = []
    if outcome.finals:
        estimate = outcome.finals[0].estimate
        if estimate.n < 2:
            found.append(
                f"{best} {course.metric} {estimate.mean:.4f} on one fresh seed, which says nothing of how sure."
            )
        else:
            found.append(
                f"{best} {course.metric} {estimate.mean:.4f} on average over {estimate.n} fresh seeds, "
                f"95% interval {estimate.low:.4f} to {estimate.high:.4f}."
            )
        for setting in outcome.same:
            found.append(f"Not to be told apart from it: {shown(setting.point)} (mean {setting.estimate.mean:.4f}).")
        worse = [setting for setting in outcome.finals[1:] if setting not in outcome.same]
        found += [f"Behind it in the finals: {shown(s.point)} (mean {s.estimate.mean:.4f})." for s in worse]
    else:
        found.append(
            f"{best} {course.metric} {outcome.best.score:.4f} in trial {outcome.best.trial}, on one seed; "
            "sweep.finals=2 would say how sure that is."
        )
    found += [f"Widened on the way: {note}." for note in outcome.notes]
    found += [f"At an edge still: {edge}; a wider range may hold a better one." for edge in outcome.edges]
    return found


def shown(point: Point) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items())


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _counts(outcome: Outcome) -> str:
    total = sum(outcome.counts.values())
    counts = ", ".join(f"{outcome.counts[status]} {status}" for status in sorted(outcome.counts))
    return f"{total} {'trial' if total == 1 else 'trials'}: {counts}" if total else "No trial was queued"


def _rounds(course: Course) -> list[str]:
    if not course.rounds:
        return [paragraph("None was begun.")]
    headings = ["round", "trials", "epochs", "best score", *course.keys]
    rows = []
    for record in course.rounds:
        scores = [t.score for t in course.of_round(record) if t.status == "finished" and t.score is not None]
        best = (max if course.plan.mode == "max" else min)(scores) if scores else None
        epochs = str(record["epochs"]) if record["epochs"] else ""
        rows.append(
            [course.number(record), str(record["num_trials"]), epochs, _score(best), *_searched(course, record)]
        )
    parts = [table(Cells(headings, rows, [False, True, True, True, *(False for _ in course.keys)]))]
    if course.plan.settings.halving:
        parts.append(paragraph("With sweep.halving, only the better half of a round goes on after half of its epochs."))
    return parts


def _searched(course: Course, record: dict[str, Any]) -> list[str]:
    """What a round searches of each key."""
    cells = []
    for key in course.keys:
        parts = []
        for name, about in record["ranges"].items():
            if name.partition("[")[0] == key:
                condition = name.partition("[")[2].rstrip("]")
                parts.append(_range(about) + (f" ({condition})" if condition else ""))
        if not parts and record.get("held"):
            parts = [f"held at {record['held'][key]}"] if key in record["held"] else ["as configured"]
        if not parts and record["kind"] == "finals":
            parts = list(dict.fromkeys(point[key] for point in record["settings"] if key in point))
        cells.append("\n".join(parts))
    return cells


def _range(about: dict[str, Any]) -> str:
    if "options" in about:
        return ", ".join(f"{option} {share:.0%}" for option, share in about["options"].items())
    zero = f", or 0 ({about['zero']:.0%})" if about.get("zero") else ""
    return f"{number_text(about['low'])} to {number_text(about['high'])}{zero}"


def _pictures(pictures: Sequence[Picture]) -> list[str]:
    """Every picture with how to read it, and why there are no others."""
    parts = []
    for picture in pictures:
        if picture.png is not None:
            parts += [heading(TITLES[picture.name]), captioned(picture.png, TITLES[picture.name], picture.reading)]
    missing: dict[str, list[str]] = {}
    for picture in pictures:
        if picture.png is None:
            missing.setdefault(picture.reason, []).append(picture.name)
    if missing:
        parts.append(heading("Not drawn"))
        parts += [paragraph(f"{', '.join(names)}: {reason}.") for reason, names in missing.items()]
    return parts


def _trials(course: Course, folder: Path) -> list[str]:
    if not course.trials:
        return [paragraph("None.")]
    headings = ["trial", "round", "status", course.metric, "epochs", "seconds", *course.keys, "folder", "reason"]
    right = [True, False, False, True, True, True, *(False for _ in course.keys), False, False]
    rows = [_trial(course, trial, folder) for trial in course.trials]
    best = course.outcome.best
    place = course.trials.index(best) if best in course.trials else None
    return [table(Cells(headings, rows, right, place, prose=[len(headings) - 1]))]


def _trial(course: Course, trial: Standing, folder: Path) -> list[str | Link]:
    link: str | Link = Link(trial.folder, trial.folder) if (folder / trial.folder).is_dir() else trial.folder
    return [
        str(trial.trial),
        course.number(course.rounds[trial.round]),
        trial.status,
        _score(trial.score),
        str(trial.epochs) if trial.epochs else "",
        seconds_text(trial.seconds),
        *(course.value(trial, key) or "" for key in course.keys),
        link,
        trial.reason if trial.error else "",
    ]


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}" if abs(score) < 1e4 else f"{score:.4g}"


def _repetition(folder: SweepFolder) -> list[str]:
    about = folder.environment
    packages = {name: version for name, version in about.get("packages", {}).items() if version}
    versions = [f"python {about['python']}"] if "python" in about else []
    versions += [f"{name} {version}" for name, version in packages.items()]
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
