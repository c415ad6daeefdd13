"""Runs a command and prints what it cost, as JSON: python supervise.py [--sample] COMMAND ..

Wall time is that of the command. Memory is the largest that one of the processes ever held, in bytes. CPU time is that
of the command and of all its descendants, also of those that outlive their parent: Linux hands them to this process,
which waits for them. Some programs, Ray for one, have their processes vanish unwaited. With `--sample` the CPU time is
read from the living processes every 0.2 seconds instead.
"""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl.h
ORPHAN_SECONDS = 30.0  # to wait for descendants that outlive the command
SAMPLE_SECONDS = 0.2


def main(words: Sequence[str]) -> None:
    sampled = words[0] == "--sample"
    command = words[1:] if sampled else words
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with sampling() if sampled else contextlib.nullcontext({}) as samples:
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        wall = time.perf_counter() - began
        wait_for_orphans()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(samples.values()) if sampled else used.ru_utime + used.ru_stime
    about = {"wall": wall, "cpu": cpu, "memory": used.ru_maxrss * 1024}  # Linux counts it in KiB
    print(json.dumps({**about, "status": done.returncode, "out": done.stdout, "err": done.stderr}))


def wait_for_orphans() -> None:
    """Wait for what the command left behind; what goes on for long is left alone."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


@contextlib.contextmanager
def sampling() -> Iterator[dict[tuple[int, float], float]]:
    """The CPU seconds of each descendant, as it was last seen."""
    import psutil

    samples: dict[tuple[int, float], float] = {}
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    samples[process.pid, process.create_time()] = times.user + times.system

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


main(sys.argv[1:])
