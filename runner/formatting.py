"""Numbers and times as people read them, on the screen and in reports."""

import time


def number(value: float) -> str:
    """With four digits after the point, or three that count where these would say little: 0.1234, 8.02e+07."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"


def rate(value: float) -> str:
    """A number of things per second; a dash where it is not known."""
    return "-" if value != value else f"{value:,.0f}"


def clock(seconds: float) -> str:
    """A time as minutes and seconds, with hours where there are any: 0:07, 1:02:03."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}:{minutes_left:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """A time as a person says it: 12.5 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def seconds_text(seconds: float) -> str:
    """Seconds in a table: with one digit after the point, or two that count."""
    return f"{seconds:.1f}" if seconds >= 1 or seconds == 0 else f"{seconds:.2g}"


def cell_of_csv(text: str) -> str:
    """A text as a cell of CSV: one that a spreadsheet would run as a formula begins with an apostrophe instead.

    Source: OWASP, CSV Injection.
    """
    if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        try:
            float(text)
        except ValueError:
            return "'" + text
    return text


class WorkClock:
    """The time since a piece of work was begun, or gone on with, and what is left of it, in words.

    Args:
        work: that is to be done, in steps or any other unit.
    """

    def __init__(self, work: float) -> None:
        self.work = work
        self.began = time.monotonic()

    def elapsed(self) -> str:
        return f"{clock(time.monotonic() - self.began)} elapsed"

    def left(self, work: float) -> str:
        """The time that `work` will take at the pace so far; nothing before any was done."""
        done = self.work - work
        if done <= 0:
            return ""
        return f"{clock((time.monotonic() - self.began) / done * max(0, work))} left"
