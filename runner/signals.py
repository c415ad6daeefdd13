"""SIGINT and SIGTERM as a request that a loop answers when it has finished what it is doing."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


_ignored: set[int] = set()


def ignore(number: int) -> None:
    """Ignore a signal from now on, in trainings too."""
    signal.signal(number, signal.SIG_IGN)
    _ignored.add(number)


class Stop:
    """Within `with Stop() as stop:`, `stop.requested` is the first signal's number. A second one ends at once.

    A signal that this process was told to `ignore` stays ignored: a worker is told by its launcher alone.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if number not in _ignored]
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            raise KeyboardInterrupt
        self.requested = number
