"""A trial of a sweep: what it trains, and how it stands by the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.objective import Objective

QUEUED_KEYS = ("trial", "round", "point", "seed", "epochs", "folder")  # of the event that begins a trial
ENDED = ("finished", "failed", "diverged", "pruned")


@dataclass
class TrialRecord:
    """One trial.

    Args:
        point: the searched keys with their values, as the text of an override.
        seed: of a final; None where the trial has the configured one.
        epochs: of its training; None where the task knows no epochs.
        folder: relative to the sweep's.
        choices: the option of every group.
        signature: trials of one signature may train together; None: this one trains alone.
        status: queued, started, waiting, finished, failed, diverged or pruned.
        score: of the objective; `half_score` that at half the epochs, with successive halving.
    """

    trial: int
    round: int
    point: dict[str, str]
    seed: int | None
    epochs: int | None
    folder: str
    choices: dict[str, str] = field(default_factory=dict)
    signature: str | None = None
    status: str = "queued"
    score: float | None = None
    half_score: float | None = None
    num_starts: int = 0
    seconds: float = 0.0
    error: str | None = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> TrialRecord:
        """The trial of a `queued` event."""
        more = {key: event[key] for key in ("choices", "signature") if event.get(key) is not None}
        return cls(**{key: event[key] for key in QUEUED_KEYS}, **more)

    def follow(self, event: Mapping[str, Any]) -> None:
        """Take up an event of this trial."""
        self.status = event["event"]
        self.num_starts += self.status == "started"
        self.seconds += event.get("seconds") or 0.0
        if self.status == "waiting":
            self.half_score = event.get("score")
        self.score = event.get("score") if event.get("score") is not None else self.score
        self.error = event.get("error", self.error)

    def event(self, name: str, **more: Any) -> dict[str, Any]:
        """A line of the journal about this trial."""
        return {"event": name, **{key: getattr(self, key) for key in (*QUEUED_KEYS, "score")}, **more}

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def values(self) -> dict[str, str]:
        """Its point, its seed and its epochs by key, as the text of an override."""
        seed = {} if self.seed is None else {"seed": str(self.seed)}
        return {**self.point, **seed, **({"engine.epochs": str(self.epochs)} if self.epochs else {})}

    @property
    def overrides(self) -> list[str]:
        """What the trial adds to the sweep's command line."""
        return [f"{key}={value}" for key, value in self.values.items()]

    @property
    def reason(self) -> str:
        """The error in one line: of a traceback, the exception with the first line of what it says."""
        lines = (self.error or "").strip().splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        if starts:
            lines = [line for line in lines[starts[-1] + 1 :] if line[:1] not in (" ", "")]
        return lines[0] if lines else "no reason given"


def rank(trials: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """Finished trials with a score, best first; of equal ones the earlier."""
    scored = [(trial.score, trial) for trial in trials if trial.status == "finished" and trial.score is not None]
    return [trial for _, trial in sorted(scored, key=lambda pair: (objective.order(pair[0]), pair[1].trial))]
