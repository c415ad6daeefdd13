"""Runs a command and prints what it cost, as JSON: python supervise.py COMMAND ..

Wall time is that of the command. CPU time is that of the command and of all its descendants: also of those that outlive
their parent, which Linux hands to this process, so that it can wait for them. It needs no package.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl.h
SECONDS = 30.0  # to wait for descendants that outlive the command


def main(command: Sequence[str]) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall = time.perf_counter() - began
    wait_for_orphans()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {"wall": wall, "cpu": used.ru_utime + used.ru_stime}
    print(json.dumps({**cost, "status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}))


def wait_for_orphans() -> None:
    """Wait for what the command left behind; what goes on for long is left alone."""
    deadline = time.monotonic() + SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


main(sys.argv[1:])
