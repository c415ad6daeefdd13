"""The configs of trials: composed once for each set of options, then filled with a point's numbers."""

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from runner import config
from runner.constraints import Bounds
from runner.errors import UserError
from runner.sweep.space.space import Point, key_of

Compose = Callable[[list[str]], tuple[DictConfig, dict[str, str]]]  # overrides to a config and its choices

NOT_A_TRIALS = ("sweep", "job", "hydra")  # parts of a sweep's config that its trials do not have
MAX_COMBINATIONS = 256  # of group options, that are looked at before a sweep begins
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e-?[0-9]+)?")  # that Hydra's grammar and Python read alike


@dataclass(frozen=True)
class Composed:
    """A config without the numbers of a point.

    Args:
        pickled: from which a copy is made in an eighth of the time that OmegaConf takes for one.
        leaves: by dotted key.
        refers: whether a value of it names another key, and so may follow from a point's numbers.
    """

    pickled: bytes
    choices: dict[str, str]
    leaves: dict[str, Any]
    refers: bool


class TrialConfigs:
    """Configs of points.

    Args:
        compose: composes a config from overrides.
        shared: the overrides that all trials share.
        trust: whether configs may build classes that are not runner's own.
    """

    def __init__(self, compose: Compose, shared: Sequence[str], trust: bool = True) -> None:
        self.compose = compose
        self.shared = list(shared)
        self.trust = trust
        self._composed: dict[tuple[str, ...], Composed] = {}

    def of(self, point: Point) -> tuple[DictConfig, dict[str, str]]:
        """The config of a point, resolved, and its choices.

        Raises:
            UserError: a key is none, a value does not fit it, or the config is not trusted.
        """
        options = tuple(f"{key}={value}" for key, value in point.items() if _is_option(key))
        base = self._base(options)
        made: DictConfig = pickle.loads(base.pickled)  # bytes of our own making
        for key, value in point.items():
            if _is_option(key):
                continue
            if key not in base.leaves:
                raise UserError(f"{key}: no such key{_hint(key, base.leaves)}")
            OmegaConf.update(made, key, _value(key, value))
        if not self.trust:  # here, for whatever looks at a key next imports what the config names
            config.check_trusted(made, resolve=True)
        if base.refers:
            OmegaConf.resolve(made)
        return made, base.choices

    def choices(self, options: Sequence[str]) -> dict[str, str]:
        """The option of every group where those options (GROUP=OPTION) are chosen."""
        return self._base(tuple(options)).choices

    def has(self, key: str, options: Sequence[str]) -> bool:
        """Whether that key can be set where those options (GROUP=OPTION) are chosen."""
        return _is_option(key) or key in self._base(tuple(options)).leaves

    def bounds(self, options: Mapping[str, Sequence[str]], key: str) -> Bounds | None:
        """The bounds of a key's values, by the annotation of the argument that it becomes.

        `options`: those of the groups that are searched; the first combination that has the key counts.
        """
        if _is_option(key):
            return None
        for point in combinations(options):
            if self.has(key, [f"{group}={option}" for group, option in point.items()]):
                return config.bounds(self.of(point)[0], key)
        return None

    def _base(self, options: tuple[str, ...]) -> Composed:
        if options not in self._composed:
            cfg, choices = self.compose([*self.shared, *options])
            with open_dict(cfg):
                for part in NOT_A_TRIALS:
                    cfg.pop(part, None)
            choices.pop("sweep", None)
            leaves = config.flatten(cfg)
            refers = "${" in repr(leaves)
            self._composed[options] = Composed(pickle.dumps(cfg), choices, leaves, refers)
        return self._composed[options]


def _value(key: str, text: str) -> Any:
    """The value of an override.

    Raises:
        UserError: it is a range.
    """
    if NUMBER.fullmatch(text):
        return float(text) if "." in text or "e" in text else int(text)
    override = OverridesParser.create().parse_override(f"{key}={text}")
    if override.is_sweep_override():
        raise UserError(f"{key}={text}: must be one value of a trial; restore the file that has it from a copy")
    return override.value()


def _is_option(key: str) -> bool:
    """Whether an override of that key has to be composed: it chooses from a group, or adds or removes a key."""
    return key[0] in "+~" or config.is_group(key)


def combinations(options: Mapping[str, Sequence[str]]) -> list[Point]:
    """Combinations of the groups' options; of very many, the first."""
    groups = {group: values for group, values in options.items() if config.is_group(group)}
    chosen = islice(product(*groups.values()), MAX_COMBINATIONS)
    return [dict(zip(groups, values, strict=True)) for values in chosen]


def _hint(key: str, leaves: dict[str, Any]) -> str:
    if found := config.unchosen_option(key, leaves):
        group, option = found
        return f" while {option} is not chosen; choose it, as in {group}={option}"
    hint = config.renamed_or_nearest(key_of(key), leaves)
    return "; see runner options or runner train --cfg job" if "choose from" in hint else hint
