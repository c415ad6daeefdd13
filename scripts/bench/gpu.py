"""A GPU: the facts of the machine, its tests, steps, graphs, vectorized trials, airbench94, data and faults.

Each part runs in a process of its own, and each row is written at once. So a fault of the device, too little memory or
a case that hangs costs one row. With the file of an earlier call it goes on where rows are missing or failed.
--minutes ends the call in time. --quick goes through all parts on the CPU. The cases are in `gpu_parts.py`.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from bench import airbench
from bench.gpu_parts import PARTS
from bench.harness import CUDA, ROOT, Row, surroundings
from bench.ledger import Ledger

START_SECONDS = 30.0  # a part has this for imports, beside the seconds of its cases


def add_options(parser: argparse.ArgumentParser) -> None:
    airbench.add_options(parser)
    parser.add_argument("--minutes", type=float, default=8.0, metavar="M", help="for gpu: end in time (default: 8)")
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of all parts, those of earlier calls with the same file included."""
    if not (CUDA or options.quick):
        sys.exit("gpu: needs a CUDA device; --quick goes through its parts on the CPU")
    if options.child:
        run_child(options)
        sys.exit()
    if unknown := [name for name in options.only or [] if name not in PARTS]:
        sys.exit(f"--only {unknown[0]}: no such part; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        path = options.output or Path(folder) / "gpu.json"
        about = {**surroundings(), "command": " ".join(["scripts/bench/run", *sys.argv[1:]])}
        ledger = Ledger(path, 60 * options.minutes, about)
        for part in options.only or PARTS:
            while not run_part(ledger, part, options):
                pass
        return ledger.rows


def run_part(ledger: Ledger, part: str, options: argparse.Namespace) -> bool:
    """Measure a part in a process of its own. Gives False where a case ended the process and others may be left."""
    done = [row["case"] for row in ledger.rows if row["part"] == part]
    words = [sys.executable, str(ROOT / "scripts/bench/run"), "gpu", "--child", part]
    words += ["--minutes", str(ledger.left() / 60), *(["--quick"] if options.quick else [])]
    for name in ("cifar10", "original", "turns"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", str(value)]
    current, ended = "start", False
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        watch = Watch(process, START_SECONDS)
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(done))
        for line in process.stdout:
            if not line.startswith("{"):  # the surroundings
                continue
            told = json.loads(line)
            if "begins" in told:
                current = told["begins"]
                watch.again(min(told["seconds"] + START_SECONDS, max(ledger.left(), 1.0)))
            elif "rows" in told:
                ledger.add(part, current, told["rows"])
                watch.again(START_SECONDS)
            else:
                ended = True
        process.stdout.close()
        status = process.wait()
        watch.stop()
        if not ended and not ledger.has(part, current):
            errors.seek(0)
            why = "timed out" if watch.fired else f"the process ended with status {status}"
            ledger.add(part, current, [{"error": why, "stderr": [errors.read()[-2000:]]}])
    return ended or current == "start"


class Watch:
    """Kills a process and all that it started when its time is over."""

    def __init__(self, process: Any, seconds: float) -> None:
        self.process = process
        self.fired = False
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.start()

    def again(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()

    def _kill(self) -> None:
        self.fired = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def run_child(options: argparse.Namespace) -> None:
    """Measure the cases of a part that are not done, and tell the parent in lines of JSON."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what trainings print is no row
    end = time.monotonic() + 60 * options.minutes
    done = json.loads(sys.stdin.read())

    def tell(**message: object) -> None:
        print(json.dumps(message), file=told, flush=True)

    for case in PARTS[options.child](options):
        if case.name in done:
            continue
        tell(begins=case.name, seconds=case.seconds)
        if end - time.monotonic() < case.seconds and not options.quick:
            tell(rows=[{"skipped": f"needs {case.seconds:.0f} seconds"}])
            continue
        try:
            rows = case.measure()
        except Exception as error:
            rows = [{"error": f"{type(error).__name__}: {error}"[:500], "traceback": [traceback.format_exc()[-4000:]]}]
        tell(rows=rows)
    tell(ends=True)
