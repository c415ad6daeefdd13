"""Search ranges in Hydra's own syntax, from the command line as from YAML.

optimizer.lr=tag(log,interval(1e-5,1e-1))                uniform in log x; the same as loguniform(1e-5,1e-1)
optimizer.momentum=tag(one_minus,interval(0.5,0.999))    uniform in log (1 - x)
reg.l2.strength=tag(log,zero_or,interval(1e-6,1e-1))     the value, or exactly 0
model.hidden=int(tag(log,interval(16,256)))              integers; randint(16,256) is int(interval(16,256))
reg.dropout.p=tag(hard,interval(0,0.8))                  never widened
optimizer=sgd,adam                                       options of a group, or any other values
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Sweep
from hydra.errors import HydraException

from runner.constraints import Bounds
from runner.errors import UserError, did_you_mean
from runner.sweep.space.space import ZERO_SHARE, Categorical, Interval

TAGS = ("log", "hard", "zero_or", "one_minus")
OPEN = 1e-4  # how far within an open bound an interval stays, as a fraction of the bound or of 1
EXAMPLE = "optimizer.lr='loguniform(1e-5,1e-1)'"
# The names that other tools have for these distributions, by what Hydra calls them.
DISTRIBUTIONS = {"uniform": "interval({})", "loguniform": "tag(log,interval({}))", "randint": "int(interval({}))"}
DISTRIBUTION = re.compile(rf"(?<![\w.])({'|'.join(DISTRIBUTIONS)})\(([^()]*)\)")
QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
Dimension = Interval | Categorical


def to_hydra_syntax(word: str) -> str:
    """An override with `uniform`, `loguniform` and `randint` written as Hydra's parser knows them.

    >>> to_hydra_syntax("optimizer.lr=loguniform(1e-5,1e-1)")
    'optimizer.lr=tag(log,interval(1e-5,1e-1))'

    Raises:
        UserError: a tag stands within a tag, which Hydra drops without a word, or a function has been renamed.
    """
    unquoted = QUOTED.sub("", word)
    key = word.partition("=")[0]
    for old in ("zero_or", "one_minus"):
        if re.search(rf"(?<![\w.]){old}\(", unquoted):
            raise UserError(f"{key}: {old}(..) has become a tag; write tag({old},interval(a,b)), or tag(log,{old},..)")
    if _nests_tags(unquoted):
        raise UserError(f"{key}: a tag within a tag is lost; write one with all words, as in tag(hard,log,..)")
    return DISTRIBUTION.sub(lambda match: DISTRIBUTIONS[match[1]].format(match[2]), word)


def _nests_tags(text: str) -> bool:
    """Whether a `tag(` opens before another one is closed."""
    open_calls: list[bool] = []  # of the open parentheses, whether each is a tag's
    for match in re.finditer(r"(\w*)\(|\)", text):
        if match[0] == ")":
            if open_calls:
                open_calls.pop()
        else:
            if match[1] == "tag" and any(open_calls):
                return True
            open_calls.append(match[1] == "tag")
    return False


def parse_overrides(
    words: Sequence[str],
    config_loader: Any = None,
    bounds: Callable[[str], Bounds | None] = lambda key: None,
) -> dict[str, str | Dimension]:
    """The value of each key with its prefix, or what it is drawn from; where a key comes twice, the later one counts.

    Args:
        bounds: the hard bounds of a key's values, where they are known.

    Raises:
        UserError: a word is no override, or its range makes no sense.
    """
    parser = OverridesParser.create(config_loader)
    found: dict[str, str | Dimension] = {}
    for word in words:
        try:
            override = parser.parse_override(to_hydra_syntax(word))
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{word}: not a range ({reason}); such as {EXAMPLE}") from None
        key = override.get_key_element()
        found.pop(key, None)
        found[key] = _value(override, config_loader, bounds)
    return found


def merge_overrides(shared: Sequence[str], words: Sequence[str]) -> list[str]:
    """The shared overrides with those of one trial, each key once: a trial's takes the place of a shared one."""
    by_key = {bare_key(word): word for word in words}
    kept = [by_key.pop(bare_key(word), word) for word in shared]
    return kept + list(by_key.values())


def bare_key(word: str) -> str:
    """The key of an override without its prefix."""
    return word.partition("=")[0].lstrip("+~")


def parse_conditional(conditional: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """The ranges of `sweep.conditional`, which apply under one option alone, as (group, option, overrides).

    Raises:
        UserError: the mapping is not GROUP: OPTION: [KEY=RANGE].
    """
    found = []
    for group, options in conditional.items():
        if not isinstance(options, Mapping):
            raise UserError(f"sweep.conditional.{group}: must be OPTION: [KEY=RANGE, ...], not {options!r}")
        for option, words in options.items():
            if not isinstance(words, Sequence) or isinstance(words, str):
                raise UserError(f"sweep.conditional.{group}.{option}: must be a list of KEY=RANGE, not {words!r}")
            found.append((str(group), str(option), [str(word) for word in words]))
    return found


def _value(override: Override, config_loader: Any, bounds: Callable[[str], Bounds | None]) -> str | Dimension:
    key = override.key_or_group
    if not override.is_sweep_override():
        return str(override.get_value_element_as_str())
    sweep: Any = override.value()
    if isinstance(sweep, Sweep):
        for tag in sorted(sweep.tags - set(TAGS)):
            raise UserError(f"{key}: no such tag '{tag}'{did_you_mean(tag, TAGS)}")
    if isinstance(sweep, IntervalSweep):
        return _interval(key, sweep, bounds(key))
    if isinstance(sweep, RangeSweep) and not sweep.step:
        raise UserError(f"{key}: a range by steps of 0 has no end; give a step such as 1")
    override.config_loader = config_loader
    options = tuple(str(option) for option in override.sweep_string_iterator())
    if not options:
        raise UserError(f"{key}: the range is empty; give it at least one value")
    if isinstance(sweep, ChoiceSweep | RangeSweep) and "zero_or" in sweep.tags and "0" not in options:
        options = ("0", *options)
    return Categorical(tuple(dict.fromkeys(options)))


def _interval(key: str, sweep: IntervalSweep, bounds: Bounds | None) -> Interval:
    assert sweep.start is not None
    assert sweep.end is not None
    low, high = float(sweep.start), float(sweep.end)
    one_minus, log = "one_minus" in sweep.tags, "log" in sweep.tags
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{key}: the bounds of a range must be finite, not {low:g} and {high:g}")
    if low == high:
        raise UserError(f"{key}: a range from {low:g} to itself; give the value alone, {key}={low:g}")
    if low > high:
        raise UserError(f"{key}: the lower bound {low:g} of the range is not below the upper {high:g}; swap them")
    if log and not one_minus and low <= 0:  # the logarithm of one_minus is that of 1 - x
        raise UserError(
            f"{key}: a log range needs bounds above zero, not {low:g}; raise it, or add the tag zero_or for 0 as well"
        )
    if one_minus and high >= 1:
        raise UserError(f"{key}: a one_minus range needs bounds below 1, not {high:g}")
    integer = isinstance(sweep.start, int) and isinstance(sweep.end, int) and not isinstance(sweep.start, bool)
    scale: Any = "one_minus_log" if one_minus else "log" if log else "linear"
    interval = Interval(low, high, scale, integer, ZERO_SHARE if "zero_or" in sweep.tags else 0.0)
    if "hard" in sweep.tags:
        return replace(interval, hard_low=low, hard_high=high)
    return _bounded(interval, bounds) if bounds else interval


def _bounded(interval: Interval, bounds: Bounds) -> Interval:
    """With the bounds that the key's values have anyway; one that lies outside is left for the check to refuse."""
    low = bounds.low + (OPEN * max(abs(bounds.low), 1) if bounds.low_open and interval.scale == "linear" else 0)
    high = bounds.high - (OPEN * max(abs(bounds.high), 1) if bounds.high_open else 0)
    return replace(interval, hard_low=min(low, interval.low), hard_high=max(high, interval.high))
