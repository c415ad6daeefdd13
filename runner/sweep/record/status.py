"""The status of a sweep on the disk, right however the sweep ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner import store
from runner.errors import Interrupted
from runner.store import SweepFolder
from runner.sweep.record.journal import RESUMED, Journal, seconds_until

CLOCK_SECONDS = 2.0  # that times of the journal, which are whole seconds, may be off


@contextmanager
def recorded_status(folder: SweepFolder) -> Iterator[None]:
    """Keep the status and the seconds of the sweep right, however the block ends, and unlock the folder."""
    began, before = time.perf_counter(), float(folder.record["seconds"])
    journal = Journal(folder.journal)
    events = journal.refresh()
    if events:
        by_journal = seconds_until(events)
        before = by_journal if by_journal > before + CLOCK_SECONDS else before  # a killed process wrote nothing down
        journal.append([{"event": RESUMED, "trial": None, "seconds_before": before}])
    status = "failed"
    try:
        yield
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        seconds = round(before + time.perf_counter() - began, 3)
        folder.update(status=status, finished=store.now(), seconds=seconds)
        folder.unlock()
