"""How a sweep searches: the keys of the group `sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from runner.constraints import Count, Fraction, PositiveCount, Range, problem
from runner.errors import UserError, did_you_mean
from runner.sweep.space.space import Draw

AtLeastOne = Annotated[float, Range(1)]
ROUND_KEYS = {"trials": PositiveCount, "epochs": int | float | str}


@dataclass(frozen=True)
class Round:
    """One round of the plan."""

    trials: int
    epochs: int | None


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Settings of a sweep; configs/sweep/default.yaml says what each does."""

    space: Sequence[str] = ()
    under: Mapping[str, Any] | None = None
    rounds: Sequence[Mapping[str, Any]] = ()
    keep: Fraction = 1 / 3
    shrink: AtLeastOne = 3.0
    explore: Fraction = 0.2
    draw: Draw = "sobol"
    strategy: Literal["together", "coordinate"] = "together"
    halving: bool = False
    finals: Count = 2
    final_seeds: PositiveCount = 3
    seed: Count = 0
    workers: PositiveCount = 1
    stack: int | Literal["auto", "off"] = "auto"
    report: bool = True
    on_error: Literal["continue", "stop"] = "continue"
    max_failures: PositiveCount = 8

    def plan(self, epochs: int) -> list[Round]:
        """The rounds, with their epochs as numbers; '25%' is of `epochs`.

        Raises:
            UserError: a round has another key, or a value that makes no sense.
        """
        return [_round(f"sweep.rounds[{index}]", entry, epochs) for index, entry in enumerate(self.rounds)]


def _round(path: str, entry: Any, epochs: int) -> Round:
    if not isinstance(entry, Mapping):
        raise UserError(f"{path}: must be like {{trials: 32, epochs: 2}}, not {entry!r}")
    for key in entry:
        if key not in ROUND_KEYS:
            raise UserError(f"{path}.{key}: no such key{did_you_mean(str(key), ROUND_KEYS)}")
    for key in ROUND_KEYS:
        if key not in entry:
            raise UserError(f"{path}.{key}: must be set, as in {{trials: 32, epochs: 2}}")
    if found := problem(entry["trials"], PositiveCount):
        raise UserError(f"{path}.trials: {found}")
    return Round(entry["trials"], _epochs(f"{path}.epochs", entry["epochs"], epochs))


def _epochs(path: str, value: Any, epochs: int) -> int:
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else None
        number = float(text) if share is None else max(float(share > 0), round(share * epochs))
    except ValueError:
        number = 0.0
    if number < 1 or number != int(number) or number not in Range(1):
        raise UserError(f"{path}: must be a whole number of epochs, at least 1, or like '25%', not {value!r}")
    return int(number)
