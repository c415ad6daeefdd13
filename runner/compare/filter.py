"""Conditions on runs, such as `optimizer.lr<1e-2` or `status=finished`."""

import re
from collections.abc import Callable, Iterable, Sequence
from operator import ge, gt, le, lt
from typing import Any

import yaml

from runner.compare.difference import freeze, known_settings, nearest, setting
from runner.compare.metric import metric_names
from runner.errors import UserError
from runner.objective import Objective, direction
from runner.store.config_file import read_value
from runner.store.run_index import RunSummary

CONDITION = re.compile(r"\s*([^=!<>\s]+)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*")
MISSING: Any = object()
NUMERIC = {"<": lt, "<=": le, ">": gt, ">=": ge}


def where(runs: Sequence[RunSummary], conditions: Iterable[str]) -> list[RunSummary]:
    """The runs that meet all conditions `KEY OP VALUE`; those that lack a key do not.

    Raises:
        UserError: a condition is none, or its key is in no run.
    """
    kept = list(runs)
    for condition in conditions:
        meets = _condition(condition, runs)
        kept = [run for run in kept if meets(run)]
    return kept


def _condition(text: str, runs: Sequence[RunSummary]) -> Callable[[RunSummary], bool]:
    match = CONDITION.fullmatch(text)
    if not match or not match[3]:
        raise UserError(f"--where {text}: not a condition; write KEY OP VALUE, such as 'optimizer.lr<1e-2', in quotes")
    key, operator, written = match.groups()
    settable, metrics = known_settings(runs), metric_names(runs)
    if key not in settable | metrics:
        raise UserError(f"--where {key}: no run has such a key{nearest(key, settable | metrics)}")

    def value_of(run: RunSummary) -> Any:
        if key in settable:
            return setting(run, key, MISSING)
        mode = direction(key)
        found = run.best(Objective(key, mode)) if mode else run.last(key)
        return MISSING if found is None else found

    wanted = _value(written)
    if isinstance(wanted, list) and any(key in run.choices for run in runs):
        wanted = ",".join(map(str, wanted))  # as several options of a group are written down
    if operator in NUMERIC:
        if not is_number(wanted):
            raise UserError(f"--where {text}: {operator} compares numbers, and {written!r} is none; use = or !=")
        return lambda run: is_number(value := value_of(run)) and NUMERIC[operator](value, wanted)

    def equal(value: Any) -> bool:
        return freeze(value) == freeze(wanted) or (isinstance(value, str) and value == written)

    return lambda run: (value := value_of(run)) is not MISSING and equal(value) == (operator != "!=")


def _value(written: str) -> Any:
    """A value as YAML reads it, and as it stands where YAML cannot."""
    try:
        return read_value(written)
    except yaml.YAMLError:
        return written


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
