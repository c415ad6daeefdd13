"""What a check found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "warning", "wrong", "skipped"]
BY_WEIGHT: tuple[Verdict, ...] = ("skipped", "ok", "warning", "wrong")


@dataclass(frozen=True)
class Check:
    """A check and its verdict.

    Args:
        name: its family and what it looks at, as in `data.duplicates`.
        measured, expected: in words, with the numbers.
        advice: what to do; empty where nothing is to be done.
        values: the numbers behind the words.
    """

    name: str
    verdict: Verdict
    measured: str
    expected: str = ""
    advice: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def worst(checks: Iterable[Check]) -> Verdict:
    """The gravest verdict of all; skipped where nothing was measured."""
    return max((check.verdict for check in checks), key=BY_WEIGHT.index, default="skipped")


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names joined by commas, those beyond a few as a count."""
    all_ = list(names)
    more = f" and {len(all_) - most} more" if len(all_) > most else ""
    return ", ".join(all_[:most]) + more
