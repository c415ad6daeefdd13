"""The rounds of a sweep, and their form in sweep.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from runner.errors import UserError


@dataclass(kw_only=True)
class Round:
    """Trials of one length, queued together.

    Args:
        index: among all rounds.
        epochs: of each trial; None where the task knows no epochs.
        ranges: of each key that it searches, as `Space.describe` gives them.
        notes: what the person at the terminal should know of it.
    """

    kind: ClassVar[str] = ""

    index: int
    epochs: int | None
    num_trials: int
    ranges: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As sweep.json has it."""
        return {"kind": self.kind} | vars(self)


class Remembered(dict[str, Any]):
    """What a strategy wrote down, as it is read again.

    Raises:
        UserError: it is asked for what is not there, since the file was changed.
    """

    def __missing__(self, key: str) -> Any:
        raise UserError(f"sweep.json: a round's strategy lacks {key}; restore the file from a copy")


@dataclass(kw_only=True)
class SearchRound(Round):
    """A round whose points the strategy draws.

    Args:
        strategy: what the strategy alone needs to draw the points again.
    """

    kind: ClassVar[str] = "search"

    strategy: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class FinalRound(Round):
    """The best points of the search, each on fresh seeds at full length."""

    kind: ClassVar[str] = "finals"

    points: list[dict[str, str]]
    seeds: list[int]


def read_rounds(entries: Sequence[Mapping[str, Any]], path: str = "sweep.json") -> list[Round]:
    """The rounds of sweep.json.

    Raises:
        UserError: an entry is none.
    """
    kinds: dict[str, type[Round]] = {kind.kind: kind for kind in (SearchRound, FinalRound)}
    try:
        rounds = [kinds[entry["kind"]](**{k: v for k, v in entry.items() if k != "kind"}) for entry in entries]
        for round_ in rounds:
            _check_types(round_)
        return rounds
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its rounds cannot be read ({error}); restore the file from a copy") from None


def _check_types(round_: Round) -> None:
    """
    Raises:
        TypeError: a value is of another type than it was written with.
    """
    whole = (
        isinstance(round_.index, int) and isinstance(round_.num_trials, int) and isinstance(round_.epochs, int | None)
    )
    whole = whole and isinstance(round_.ranges, dict) and isinstance(round_.notes, list)
    if isinstance(round_, FinalRound):
        points, seeds = round_.points, round_.seeds
        whole = whole and isinstance(points, list) and all(isinstance(point, dict) for point in points)
        whole = whole and isinstance(seeds, list) and all(isinstance(seed, int) for seed in seeds)
    if isinstance(round_, SearchRound):
        whole = whole and isinstance(round_.strategy, dict)
        round_.strategy = Remembered(round_.strategy) if whole else {}
    if not whole:
        raise TypeError("a value is of another type")


def searches(rounds: Sequence[Round]) -> list[SearchRound]:
    return [round_ for round_ in rounds if isinstance(round_, SearchRound)]


def finals(rounds: Sequence[Round]) -> list[FinalRound]:
    """The final rounds: several, where the sweep was lengthened."""
    return [round_ for round_ in rounds if isinstance(round_, FinalRound)]


def label(round_: Round, rounds: Sequence[Round]) -> str:
    """What a round is called: a search 1, 2, 3 and so on, whatever finals lie between; or finals."""
    if isinstance(round_, FinalRound):
        return "finals"
    return str(len(searches(rounds[: round_.index + 1])))


def name(round_: Round, rounds: Sequence[Round]) -> str:
    """The label as text has it: round 1, or finals."""
    return label(round_, rounds) if isinstance(round_, FinalRound) else f"round {label(round_, rounds)}"
