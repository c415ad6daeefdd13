"""What a job raised; when failing trials end a sweep, and with which exit status."""

import contextlib
import io
from typing import Any

from hydra.core.utils import JobReturn

from runner.errors import EXIT_DIVERGED, EXIT_USER_ERROR
from runner.sweep.record.journal import Journal
from runner.sweep.settings import SweepSettings

WORKED = ("finished", "pruned", "waiting")


def value_or_error(returned: JobReturn) -> Any:
    """What a job returned, or the exception that it raised."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints a line of its own before it raises
            return returned.return_value
    except Exception as error:
        return error


def why_give_up(journal: Journal, settings: SweepSettings) -> str | None:
    """The reason not to go on, if there is one."""
    first = journal.first_failed
    if first is None:
        return None
    if settings.on_error == "stop":
        return (
            f"trial {first.trial} failed ({first.reason}), and sweep.on_error is stop; to go on without it, "
            "resume with sweep.on_error=continue"
        )
    num_failed = journal.counts["failed"]
    if num_failed >= settings.max_failures and not any(journal.counts[status] for status in WORKED):
        return (
            f"{num_failed} trials have failed and none has finished; the first: {first.reason}; mend it, and "
            "begin anew or resume with a larger sweep.max_failures"
        )
    return None


def exit_status(journal: Journal) -> int:
    """The exit status where no trial finished: the user's mistake, divergence, or failures."""
    failed = [trial for trial in journal.trials.values() if trial.status == "failed"]
    if not failed:
        return EXIT_DIVERGED
    return 1 if any("Traceback" in (trial.error or "") for trial in failed) else EXIT_USER_ERROR
