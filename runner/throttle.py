"""Watching that takes no more than a share of the time it watches."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throttle:
    """Says when work may be done again, by how long it took the last time.

    Args:
        share: of the time that it may take.
        seconds: from one time to the next, at least.
        first: seconds that the first time is expected to take. It is put off until that is the share of the time.
    """

    def __init__(self, share: float, seconds: float = 0.0, first: float = 0.0) -> None:
        self.share = share
        self.seconds = seconds
        self.free_at = time.monotonic() + first / share if first else -math.inf

    @property
    def due(self) -> bool:
        return time.monotonic() >= self.free_at

    def queued(self) -> None:
        """It will be done, by another thread perhaps: not again before that."""
        self.free_at = math.inf

    @contextmanager
    def done(self, seconds_before: float = 0.0) -> Iterator[None]:
        """Around the work; `seconds_before`: of it that were spent already."""
        began = time.monotonic() - seconds_before
        try:
            yield
        finally:
            now = time.monotonic()
            self.free_at = max(began + self.seconds, now + (now - began) / self.share)
