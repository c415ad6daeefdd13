"""Ranges in Hydra's own syntax, from the command line as from YAML, with two words more: `zero_or` and `one_minus`.

optimizer.lr=tag(log,interval(1e-5,1e-1))               drawn uniformly in log x
optimizer.momentum=one_minus(interval(0.5,0.999))       drawn uniformly in log (1 - x)
reg.l2.strength=zero_or(tag(log,interval(1e-6,1e-1)))   the value, or exactly 0
model.hidden=int(tag(log,interval(16,256)))             whole numbers
reg.dropout.p=tag(hard,interval(0,0.8))                 never widened
optimizer=sgd,adam                                      options of a group, or any other values
"""

# No `from __future__ import annotations`: Hydra reads those of zero_or and one_minus, and needs them evaluated.

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra._internal.grammar import grammar_functions
from hydra.core.override_parser import overrides_parser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Sweep
from hydra.errors import HydraException

from runner.constraints import Range as Bounds
from runner.errors import UserError, did_you_mean
from runner.sweep.space.space import ZERO_SHARE, Choice, Range

TAGS = ("log", "hard", "zero_or", "one_minus")
OPEN = 1e-4  # how far within an open bound a range stays, as a share of the bound or of 1


@dataclass(frozen=True)
class Word:
    """One override: a key with its prefix, and the value or what it is drawn from."""

    key: str
    value: str | Range | Choice

    @property
    def bare_key(self) -> str:
        return self.key.lstrip("+~")


def add_functions() -> None:
    """Let every parser of Hydra's know `zero_or` and `one_minus`, and a `tag` that adds to the tags inside it."""
    create = overrides_parser.create_functions
    if getattr(create, "has_ranges", False):
        return

    def create_functions() -> Any:
        functions = create()
        functions.functions["tag"] = tag
        functions.register(name="zero_or", func=zero_or)
        functions.register(name="one_minus", func=one_minus)
        return functions

    create_functions.has_ranges = True  # type: ignore[attr-defined]
    overrides_parser.create_functions = create_functions


def tag(*args: str | Sweep, sweep: Sweep | None = None) -> Sweep:
    """As Hydra's own, which forgets what `zero_or`, `one_minus` or a `tag` inside it has said."""
    inner = [arg for arg in (*args, sweep) if isinstance(arg, Sweep)]
    before = {name for one in inner for name in one.tags}
    made = grammar_functions.tag(*args, sweep=sweep)
    made.tags = {*made.tags, *before}
    return made


def zero_or(sweep: Sweep) -> Sweep:
    """The drawn value, or exactly 0."""
    sweep.tags = {*sweep.tags, "zero_or"}
    return sweep


def one_minus(sweep: Sweep) -> Sweep:
    """Drawn so that the logarithm of 1 - x is uniform; bounds and values stay those of x."""
    sweep.tags = {*sweep.tags, "one_minus"}
    return sweep


def read(
    words: Sequence[str],
    config_loader: Any = None,
    bounds: Callable[[str], Bounds | None] = lambda key: None,
) -> list[Word]:
    """The words in their order; where a key comes twice, the later one counts.

    Args:
        bounds: the hard bounds of a key's values, where they are known.

    Raises:
        UserError: a word is no override, or its range makes no sense.
    """
    parser = overrides_parser.OverridesParser.create(config_loader)
    found: dict[str, Word] = {}
    for text in words:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{text}: not a range ({reason}); such as {_EXAMPLE}") from None
        key = override.get_key_element()
        found.pop(key, None)
        found[key] = Word(key, _value(override, config_loader, bounds))
    return list(found.values())


_EXAMPLE = "optimizer.lr='tag(log,interval(1e-5,1e-1))'"


def _value(override: Override, config_loader: Any, bounds: Callable[[str], Bounds | None]) -> str | Range | Choice:
    key = override.key_or_group
    if not override.is_sweep_override():
        return str(override.get_value_element_as_str())
    sweep: Any = override.value()
    if isinstance(sweep, Sweep):
        for tag in sorted(sweep.tags - set(TAGS)):
            raise UserError(f"{key}: no such tag '{tag}'{did_you_mean(tag, TAGS)}")
    if isinstance(sweep, IntervalSweep):
        return _range(key, sweep, bounds(key))
    override.config_loader = config_loader
    options = tuple(str(option) for option in override.sweep_string_iterator())
    if not options:
        raise UserError(f"{key}: the range is empty; give it at least one value")
    if isinstance(sweep, ChoiceSweep | RangeSweep) and "zero_or" in sweep.tags and "0" not in options:
        options = ("0", *options)
    return Choice(tuple(dict.fromkeys(options)))


def _range(key: str, sweep: IntervalSweep, bounds: Bounds | None) -> Range:
    assert sweep.start is not None
    assert sweep.end is not None
    low, high = float(sweep.start), float(sweep.end)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{key}: the bounds of a range must be finite, not {low:g} and {high:g}")
    if low == high:
        raise UserError(f"{key}: a range from {low:g} to itself; give the value alone, {key}={low:g}")
    if low > high:
        raise UserError(f"{key}: the lower bound {low:g} of the range is not below the upper {high:g}; swap them")
    if {"log", "one_minus"} <= sweep.tags and low <= 0:
        low_enough = True  # one_minus(log) is a logarithm of 1 - x, which 0 does not harm
    else:
        low_enough = "log" not in sweep.tags or low > 0
    if not low_enough:
        raise UserError(
            f"{key}: a log range needs bounds above zero, not {low:g}; raise it, or write zero_or(...) for 0 as well"
        )
    if "one_minus" in sweep.tags and high >= 1:
        raise UserError(f"{key}: a one_minus range needs bounds below 1, not {high:g}")
    integer = isinstance(sweep.start, int) and isinstance(sweep.end, int) and not isinstance(sweep.start, bool)
    scale: Any = "one_minus_log" if "one_minus" in sweep.tags else "log" if "log" in sweep.tags else "linear"
    made = Range(low, high, scale, integer, ZERO_SHARE if "zero_or" in sweep.tags else 0.0)
    if "hard" in sweep.tags:
        return replace(made, least=low, most=high)
    return _bounded(made, bounds) if bounds else made


def _bounded(range_: Range, bounds: Bounds) -> Range:
    """With the bounds that the key's values have anyway; a range that lies outside is left for the check to refuse."""
    least = bounds.low + (OPEN * max(abs(bounds.low), 1) if bounds.low_open and range_.scale == "linear" else 0)
    most = bounds.high - (OPEN * max(abs(bounds.high), 1) if bounds.high_open else 0)
    return replace(range_, least=min(least, range_.low), most=max(most, range_.high))


def under_words(under: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """The ranges that apply under one choice, as (group, option, words).

    Raises:
        UserError: the mapping is not GROUP: OPTION: [KEY=RANGE].
    """
    found = []
    for group, options in under.items():
        if not isinstance(options, Mapping):
            raise UserError(f"sweep.under.{group}: must be OPTION: [KEY=RANGE, ...], not {options!r}")
        for option, words in options.items():
            if not isinstance(words, Sequence) or isinstance(words, str):
                raise UserError(f"sweep.under.{group}.{option}: must be a list of KEY=RANGE, not {words!r}")
            found.append((str(group), str(option), [str(word) for word in words]))
    return found
