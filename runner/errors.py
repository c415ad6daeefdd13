"""Outcomes that end a command with something other than a traceback."""

import difflib
import errno
from collections.abc import Iterable
from typing import TypeGuard

EXIT_USER_ERROR = 2
EXIT_DIVERGED = 3
EXIT_WRONG = 4  # runner check found something wrong


class UserError(Exception):
    """A mistake that the user can mend: one line that names the key or file and the remedy. Exit status 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: that line, for the frames between say nothing of the user's mistake."""
        return [f"runner: {self}"]


class OutOfMemory(UserError):
    """A device has too little memory for what trains on it; fewer trials at a time, or a smaller batch, may fit."""


class ImagesChanged(UserError):
    """The images of a sweep are not those that it began with: no trial fails for it, the sweep stops."""


class CannotVectorize(Exception):
    """Trials that cannot train together as vectorized trials: one line that names the key. They can train alone."""


class HydraExit(BaseException):
    """Carries a user's mistake out of Hydra, which would add lines of its own to an exception."""


class WorkerDied(RuntimeError):
    """The process of a job ended before the job did."""


class SweepFailed(Exception):
    """A sweep came to nothing for its trials fail: one line with the reason. Exit status 1, or what their ends say."""

    status = 1


class DeviceFault(SweepFailed):
    """A GPU stopped a process of a sweep: it answers that one with the same error from now on, other processes not."""


class Interrupted(BaseException):
    """A signal asked the run to stop, and it stopped after saving. Exit status 128 + signal number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


def is_full_disk(error: object) -> TypeGuard[OSError]:
    """Whether a disk or a quota is used up: nothing that a trial or a config is to blame for."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def as_mistake(error: Exception) -> UserError:
    """An error that the user can mend, a full disk among them, as a mistake.

    Raises:
        Exception: it is another one.
    """
    if is_full_disk(error):
        return UserError(f"{error.filename or 'disk'}: {error.strerror}; free some space, then go on")
    if not isinstance(error, UserError):
        raise error
    return error


def reason(error: Exception) -> str:
    """What an error says, in one line; of one about a file, what the system says, without the path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'lr'?"`, or the known words where none is near, or nothing where there are none."""
    options = sorted(set(known))
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; choose from {', '.join(options)}" if options else ""
