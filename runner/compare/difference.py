"""What differs between runs: options of groups, leaves of their configs, and which of these options imply."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import UserError, did_you_mean
from runner.store.run_index import RunSummary

NAMES_OF_CODE = ("_target_", "_partial_")
REPEATS = ("seed", "data.fold")  # keys in which the runs of a row may differ: other draws of the same
NO_SETTINGS = ("experiment", "log")  # groups whose option decides nothing that the other keys do not show


@dataclass(frozen=True)
class Difference:
    """A key in which runs differ; `implied` where the option chosen from its group decides it."""

    key: str
    implied: bool = False


def differences(runs: Sequence[RunSummary], ignored: Collection[str] = ()) -> list[Difference]:
    """The keys in which runs differ: groups by their option, then leaves, then leaves that an option implies.

    A leaf differs where runs that have it have different values, or where runs of the same option do: there a key
    that is lacking equals null. Class names are shown only where the option does not tell them.
    """
    by_choice: dict[str, dict[str | None, set[Hashable]]] = {}  # key -> option of its group -> values, absent as null
    present: dict[str, set[Hashable]] = {}
    shown = {key for run in runs for key in run.config if not covered(key, ignored)}
    order = list(dict.fromkeys(key for run in runs for key in run.config if key in shown))
    groups = {key: key.partition(".")[0] for key in order}
    for run in runs:
        for key in order:
            frozen = freeze(run.config.get(key))
            by_choice.setdefault(key, {}).setdefault(run.choices.get(groups[key]), set()).add(frozen)
            if key in run.config:
                present.setdefault(key, set()).add(frozen)
    leaves, implied = [], []
    for key in order:
        if any(len(values) > 1 for values in by_choice[key].values()):
            leaves.append(Difference(key))
        elif len(present[key]) > 1 and key.rpartition(".")[2] not in NAMES_OF_CODE:
            implied.append(Difference(key, implied=True))
    return [*(Difference(group) for group in _differing_groups(runs, order, ignored)), *leaves, *implied]


def _differing_groups(runs: Sequence[RunSummary], order: Iterable[str], ignored: Collection[str]) -> list[str]:
    """Groups of which different options were chosen, in the order of the config."""
    named = {group for run in runs for group in run.choices if group not in NO_SETTINGS and not covered(group, ignored)}
    differing = {group for group in named if len({run.choices.get(group) for run in runs}) > 1}
    ordered = dict.fromkeys(key.partition(".")[0] for key in order)
    return [group for group in [*ordered, *sorted(named - ordered.keys())] if group in differing]


def covered(key: str, ignored: Collection[str]) -> bool:
    """Whether the key or one above it is among those ignored."""
    while key not in ignored:
        key, dot, _ = key.rpartition(".")
        if not dot:
            return False
    return True


def setting(run: RunSummary, key: str, default: Any = None) -> Any:
    """The option chosen from a group, the value of a config leaf, or `status` or `name`."""
    if key in run.choices:
        return run.choices[key]
    if key in ("status", "name"):
        return run.record[key]
    return run.config.get(key, default)


def settings(run: RunSummary, keys: Iterable[str]) -> Hashable:
    return tuple(freeze(setting(run, key)) for key in keys)


def freeze(value: Any) -> Hashable:
    """A value that can be compared and hashed: 1 equals 1.0, but not true."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list | tuple):
        return ("list", *map(freeze, value))
    if isinstance(value, dict):
        return ("dict", *((str(key), freeze(item)) for key, item in value.items()))
    return value if isinstance(value, Hashable) else str(value)


def known_settings(runs: Iterable[RunSummary]) -> set[str]:
    known = {"status", "name"}
    for run in runs:
        known |= run.config.keys() | run.choices.keys()
    return known


def check_keys(runs: Sequence[RunSummary], keys: Iterable[str], flag: str) -> None:
    """Hold the keys to those that runs have.

    Raises:
        UserError: no run has such a key.
    """
    known = known_settings(runs)
    for key in keys:
        if key not in known:
            raise UserError(f"{flag} {key}: no run has such a key{nearest(key, known)}")


def nearest(key: str, known: Collection[str]) -> str:
    hint = did_you_mean(key, known)
    return hint if "mean" in hint else "; see runner options"
