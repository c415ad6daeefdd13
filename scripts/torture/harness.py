"""What the parts share: rows of results, a time limit, a working folder, and commands run in forked children."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from itertools import count
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "scripts/torture/server.py"
FAULTS = ROOT / "scripts/torture/faults.c"


class Fault(IntEnum):
    """What happens at the chosen file operation. As in faults.c."""

    NONE = 0
    COUNT = 1  # nothing; the operations are counted
    KILL = 2  # SIGKILL before it
    TORN = 3  # SIGKILL after half of it; only writes are counted
    FULL = 4  # it alone finds no space left on the disk
    FULL_FROM = 5  # so do all after it


class Writer(IntEnum):
    """Whose operations are counted: each is one thread, so they come in the same order every time. As in faults.c."""

    MAIN = 0
    CHECKPOINTS = 1
    EVENTS = 2


class Loss(Exception):
    """Something was lost, or is not as it must be."""


@dataclass
class Row:
    """One kind of torture: how many times it was tried, and what was lost."""

    what: str
    tried: int = 0
    losses: list[str] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Options:
    """What the command line asks for.

    Args:
        work: the folder that all is done in; what was lost stays there.
        seconds: of each part; None where the part goes on to its end.
        cases: at most so many of each row.
        rows: those whose name has this in it.
    """

    seed: int
    work: Path
    seconds: float | None = None
    cases: int | None = None
    rows: str = ""

    def random(self, *about: object) -> random.Random:
        """Draws of its own for each purpose, so that one part repeats without the others."""
        return random.Random(f"{self.seed} {about}")


class Torture:
    """One row under way, and how much time it has left.

    Args:
        share: of the time of the part.
    """

    def __init__(self, what: str, options: Options, share: float = 1.0) -> None:
        self.row = Row(what)
        self.options = options
        self.began = time.monotonic()
        self.end = None if options.seconds is None else self.began + share * options.seconds
        self._numbers = count()

    @property
    def is_over(self) -> bool:
        """Whether the time or the cases are used up; at least one case is tried whatever time there is."""
        enough = self.options.cases is not None and self.row.tried >= self.options.cases
        return enough or (self.end is not None and self.row.tried > 0 and time.monotonic() > self.end)

    @property
    def is_wanted(self) -> bool:
        return self.options.rows in self.row.what

    def case(self, name: str, attempt: Callable[[Path], object]) -> bool:
        """Try one case in a folder of its own, which stays where something is lost."""
        folder = self.options.work / f"{_plain(self.row.what)}-{next(self._numbers):04d}"
        folder.mkdir(parents=True)
        self.row.tried += 1
        try:
            attempt(folder)
        except Loss as loss:
            self.row.losses.append(f"{name}: {loss} ({folder})")
            return False
        finally:
            self.row.seconds = round(time.monotonic() - self.began, 1)
        shutil.rmtree(folder)
        return True

    def cases(self, attempts: Iterable[tuple[str, Callable[[Path], object]]]) -> Row:
        """Try one case after another until the time is over."""
        for name, attempt in attempts:
            if self.is_over:
                break
            self.case(name, attempt)
        return self.row


def shuffled(values: Iterable[Any], draws: random.Random) -> list[Any]:
    values = list(values)
    draws.shuffle(values)
    return values


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


# Commands


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Args:
        status: its exit status, negative for a signal.
        counts: file operations that changed something below the watched folder, by writer.
        struck: the operation that the fault came to; empty where there were fewer.
    """

    words: Sequence[str]
    status: int
    out: str
    err: str
    counts: Sequence[int] = ()
    struck: str = ""

    @property
    def crashed(self) -> bool:
        return "Traceback (most recent call last)" in self.err + self.out

    def expect(self, *statuses: int) -> Self:
        """
        Raises:
            Loss: it ended otherwise.
        """
        if self.status not in statuses or self.crashed:
            raise Loss(f"runner {' '.join(self.words)[:100]} ended with {self.status}: {last_lines(self.err)}")
        return self

    def expect_refusal(self) -> Self:
        """
        Raises:
            Loss: it was not refused, in one line.
        """
        if self.status != 2 or self.err.count("\n") != 1 or self.crashed:
            said = last_lines(self.err)
            raise Loss(f"runner {' '.join(self.words)[:100]} was not refused in one line but {self.status}: {said}")
        return self


def last_lines(text: str, number: int = 3) -> str:
    return " / ".join(text.strip().splitlines()[-number:])[-400:] or "nothing on standard error"


class Server:
    """A process that forks a child for each command. See `server.py`.

    Args:
        library: the compiled faults; without it there are none.
    """

    def __init__(self, library: Path | None = None, folder: Path | None = None) -> None:
        environment = command_environment()
        if library:
            environment["LD_PRELOAD"] = str(library)
        self.process = subprocess.Popen(
            [sys.executable, "-P", SERVER],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def run(
        self,
        folder: Path,
        *words: object,
        fault: Fault = Fault.NONE,
        writer: Writer = Writer.MAIN,
        number: int = 0,
        below: Path | None = None,
        python: str = "",
        seconds: float = 60.0,
    ) -> Done:
        """A command in that working folder. `fault`: strikes at a writer's operation of that number below a folder.

        `python`: run this code instead of a command.
        """
        out, err = folder / "stdout", folder / "stderr"
        request = {
            "words": [str(word) for word in words],
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
            "fault": int(fault),
            "writer": int(writer),
            "number": number,
            "below": str(below or folder),
            "python": python,
            "seconds": seconds,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        told = self._answer()
        return Done(request["words"], told.pop("status"), out.read_text(), err.read_text(), **told)

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server of commands ended with {self.process.wait()}")
        return json.loads(line)


class Process:
    """A command in a process and a session of its own, begun.

    Args:
        name: of the files that take what it says.
    """

    def __init__(self, folder: Path, *words: object, name: str = "command") -> None:
        self.words = [str(word) for word in words]
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        with self.out.open("w") as out, self.err.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runner", *self.words],
                cwd=folder,
                env=command_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, seconds: float = 180.0) -> Done:
        """
        Raises:
            Loss: it does not end in that time.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Loss(f"runner {' '.join(self.words)[:100]} did not end within {seconds:g} s") from None
        return Done(self.words, status, self.out.read_text(), self.err.read_text())

    def kill(self) -> Done:
        """End it with all of its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()


def command_environment() -> dict[str, str]:
    """Of every command: one thread, no display, this runner."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }


def compiled_faults(folder: Path) -> Path | str:
    """The library of faults, or a line that says why there is none."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux"):
        return "file operations are intercepted on Linux alone"
    if compiler is None:
        return "there is no C compiler (cc)"
    library = folder / "faults.so"
    done = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", library, FAULTS, "-ldl"], capture_output=True, text=True
    )
    return library if done.returncode == 0 else f"the C compiler failed: {last_lines(done.stderr)}"


def single(paths: Iterable[Path]) -> Path:
    """
    Raises:
        Loss: there is none, or there are several.
    """
    found = list(paths)
    if len(found) != 1:
        raise Loss(f"one was expected, {len(found)} are there: {', '.join(map(str, found))[:200]}")
    return found[0]


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines():
        yield json.loads(line)
