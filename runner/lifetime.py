"""Processes that end when the one that they work for ends, however that comes about."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from threading import Thread
from typing import Any

CHECK_SECONDS = 0.2  # between two looks at whether the other process is there


def this_process() -> dict[str, Any]:
    """What tells this process from all others, of other machines too."""
    import psutil

    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def end_with(process: Mapping[str, Any]) -> None:
    """End this process when that one has ended; not where it is on another machine."""
    if process["host"] == socket.gethostname() and process["pid"] != os.getpid():
        _watch(process["pid"], process["started"])


@cache
def _watch(pid: int, started: float) -> None:
    """Start watching a process, once."""
    Thread(target=_end_after, args=(pid, started), daemon=True).start()


def _end_after(pid: int, started: float) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if abs(process.create_time() - started) < 1:  # else another process has its number by now
            # One that nobody has waited for yet counts as ended, though it has its number still.
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(CHECK_SECONDS)
    os._exit(1)
