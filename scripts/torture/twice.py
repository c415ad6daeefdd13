"""Starts two of everything at once, and kills main processes: one of two gives way, and nobody is left behind.

Every command is a process of its own, in a session of its own.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from torture.facts import Facts, compare, facts_of_run, facts_of_sweep
from torture.harness import Done, Loss, Options, Process, Row, Torture, single

GONE_SECONDS = 5.0  # within which all processes of a killed main process must have ended
RUN = [
    "model=linear",
    "data.batch_size=16",
    "engine.epochs=3",
    "engine.checkpoint_every_steps=20",
    "engine.deterministic=true",
    "log.progress=none",
    "name=it",
]
SWEEP = [
    "model=linear",
    "optimizer.lr=loguniform(1e-3,1e-1)",
    "engine.epochs=2",
    "engine.limit_batches=10",
    "engine.deterministic=true",
    "sweep.rounds=[{trials:4,epochs:1},{trials:2,epochs:2}]",
    "sweep.num_finalists=1",
    "sweep.num_final_seeds=2",
    "sweep.vectorize=off",
    "sweep.report=false",
    "log.progress=none",
    "log.tensorboard=false",
    "name=it",
]
LONG = ["engine.epochs=1000", "log.tensorboard=false"]
LAUNCHERS = {
    "one by one": [],
    "worker processes": ["sweep.num_workers=2"],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "vectorized": ["sweep.vectorize=4"],
}
WORKERS_READ = ["data=folder", "data.root=images", "data.in_channels=1", "data.loading=workers", "data.num_workers=2"]


def torture(options: Options) -> Iterator[Row]:
    """A row for each pair, and one for what main processes leave behind."""
    stored = Stored(options.work / "twice")
    pairs: list[tuple[str, Callable[[Path], object]]] = [
        ("two resumes of a run", partial(two_resumes, stored, "run")),
        ("two resumes of a sweep", partial(two_resumes, stored, "sweep")),
        ("two tests of a run", partial(two_tests, stored)),
        ("two sweeps into one folder", partial(two_sweeps, stored, [])),
        ("two sweeps by joblib into one folder", partial(two_sweeps, stored, LAUNCHERS["joblib"])),
    ]
    mains = {f"sweep, {name}": ["sweep", *SWEEP, *words, *LONG] for name, words in LAUNCHERS.items()}
    mains["run with workers that read images"] = ["train", *RUN, *WORKERS_READ, *LONG]
    mains["sweep with workers that read images"] = ["sweep", *SWEEP, *WORKERS_READ, *LONG]
    for what, attempt in pairs:
        row = Torture(what, options, 1 / (len(pairs) + 1))
        if row.is_wanted:
            yield row.cases([(what, attempt)])
    row = Torture("processes left by a killed main process", options, 1 / (len(pairs) + 1))
    if row.is_wanted:
        yield row.cases(
            (name, partial(kill_main, words, "work" in name or "joblib" in name)) for name, words in mains.items()
        )


class Stored:
    """A run and a sweep that were stopped, and what comes of them undisturbed; made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._expected: dict[str, Facts] = {}

    def copy_stopped(self, kind: str, folder: Path) -> Path:
        """A copy of the one that was stopped."""
        stopped = self.folder / kind / "stopped"
        if not stopped.exists():
            self._stop(kind, stopped)
        return _copy(stopped, folder)

    def copy_finished(self, kind: str, folder: Path) -> Path:
        self.expected(kind)
        return _copy(self.folder / kind / "undisturbed", folder)

    def expected(self, kind: str) -> Facts:
        if kind not in self._expected:
            folder = self.folder / kind / "undisturbed"
            folder.mkdir(parents=True)
            Process(folder, *_line(kind)).wait().expect(0)
            self._expected[kind] = facts(kind, single(folder.glob("outputs/it/*")))
        return self._expected[kind]

    def _stop(self, kind: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        process = Process(folder, *_line(kind))
        wait_until(lambda: any(folder.glob("outputs/it/*/**/last.pt")), "a checkpoint", process)
        process.kill()


def _copy(stored: Path, folder: Path) -> Path:
    shutil.copytree(stored, folder, dirs_exist_ok=True)
    return single(folder.glob("outputs/it/*")).relative_to(folder)


def _line(kind: str) -> list[str]:
    return ["train", *RUN] if kind == "run" else ["sweep", *SWEEP]


def facts(kind: str, folder: Path) -> Facts:
    return facts_of_run(folder) if kind == "run" else facts_of_sweep(folder)


# Two at once


def two_resumes(stored: Stored, kind: str, folder: Path) -> None:
    """One of them goes on to the end, the other is refused; or comes after it, and finds nothing to do."""
    expected = stored.expected(kind)
    path = stored.copy_stopped(kind, folder)
    first, second = both(folder, "resume", path)
    if first.status != 0:
        first, second = second, first
    first.expect(0)
    if second.status != 0:
        second.expect_refusal()
    compare(expected, facts(kind, folder / path))


def two_tests(stored: Stored, folder: Path) -> None:
    """Both are right, for they write the same."""
    path = stored.copy_finished("run", folder)
    for done in both(folder, "test", path):
        done.expect(0)
    left = [found.name for found in (folder / path).rglob("*.tmp")]
    if left:
        raise Loss(f"temporary files are left: {', '.join(left)}")


def two_sweeps(stored: Stored, words: Sequence[str], folder: Path) -> None:
    """Each has a folder of its own, and what comes of it is what comes of one alone."""
    expected = stored.expected("sweep")
    for done in both(folder, *_line("sweep"), *words):
        done.expect(0)
    made = sorted(folder.glob("outputs/it/*"))
    if len(made) != 2:
        raise Loss(f"two sweeps made {len(made)} folders")
    for path in made:
        compare(expected, facts_of_sweep(path))


def both(folder: Path, *words: object) -> list[Done]:
    return [process.wait() for process in [Process(folder, *words, name=name) for name in ("first", "second")]]


# Processes


def kill_main(words: Sequence[str], with_workers: bool, folder: Path) -> None:
    """Kill the main process of a training under way, and see what is left of its session."""
    if "data=folder" in words:
        draw_images(folder / "images")
    process = Process(folder, *words)
    wait_until(lambda: any(folder.glob("outputs/it/*/**/last.pt")), "a checkpoint", process)
    time.sleep(0.5)
    before = {*processes_of(process.pid), *psutil.Process(process.pid).children(recursive=True)}
    if with_workers and len(before) < 3:
        raise Loss(f"there were {len(before)} processes, too few to have workers among them")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + GONE_SECONDS
    while left := {one for one in before if one.is_running()} | {*processes_of(process.pid)}:
        if time.monotonic() > end:
            said = "; ".join(sorted(_line_of(one) for one in left))
            process.kill()
            raise Loss(f"{len(left)} of {len(before)} processes are left after {GONE_SECONDS:g} s: {said}")
        time.sleep(0.1)


def _line_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[-100:]
    except psutil.Error:
        return f"{process.pid}, which has ended since"


def processes_of(session: int) -> list[psutil.Process]:
    """Living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until(happens: Callable[[], Any], what: str, process: Process, seconds: float = 60.0) -> None:
    """
    Raises:
        Loss: it does not happen before the process ends, or in that time.
    """
    end = time.monotonic() + seconds
    while not happens():
        if process.ended or time.monotonic() > end:
            done = process.kill()
            raise Loss(f"no {what} came of runner {' '.join(done.words)[:80]}: {done.status}, {done.err[-300:]}")
        time.sleep(0.02)


def draw_images(root: Path) -> None:
    """A data set of image files: two classes of 40 small gray images."""
    import numpy as np
    from PIL import Image

    draws = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("a", "b"):
            (root / split / label).mkdir(parents=True)
            for number in range(40):
                pixels = draws.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / label / f"{number}.png")
