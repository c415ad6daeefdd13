"""The configs of trials: composed once for each set of options, then filled with a point's numbers."""

from collections.abc import Callable, Mapping, Sequence
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
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, str], dict[str, Any]]] = {}
        self._values: dict[str, Any] = {}

    def of(self, point: Point) -> tuple[DictConfig, dict[str, str]]:
        """The config of a point, and its choices.

        Raises:
            UserError: a key is none, a value does not fit it, or the config is not trusted.
        """
        options = tuple(f"{key}={value}" for key, value in point.items() if _is_option(key))
        base, choices, leaves = self._base(options)
        made = base.copy()
        for key, value in point.items():
            if _is_option(key):
                continue
            if key not in leaves:
                raise UserError(f"{key}: no such key{_hint(key, leaves)}")
            OmegaConf.update(made, key, self._value(f"{key}={value}"))
        if not self.trust:  # here, for whatever looks at a key next imports what the config names
            config.check_trusted(made, resolve=True)
        return made, choices

    def choices(self, options: Sequence[str]) -> dict[str, str]:
        """The option of every group where those options (GROUP=OPTION) are chosen."""
        return self._base(tuple(options))[1]

    def has(self, key: str, options: Sequence[str]) -> bool:
        """Whether that key can be set where those options (GROUP=OPTION) are chosen."""
        return _is_option(key) or key in self._base(tuple(options))[2]

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

    def _base(self, options: tuple[str, ...]) -> tuple[DictConfig, dict[str, str], dict[str, Any]]:
        if options not in self._composed:
            cfg, choices = self.compose([*self.shared, *options])
            with open_dict(cfg):
                for part in NOT_A_TRIALS:
                    cfg.pop(part, None)
            choices.pop("sweep", None)
            self._composed[options] = cfg, choices, config.flatten(cfg)
        return self._composed[options]

    def _value(self, word: str) -> Any:
        if word not in self._values:
            override = OverridesParser.create().parse_override(word)
            if override.is_sweep_override():
                raise UserError(f"{word}: must be one value of a trial; restore the file that has it from a copy")
            self._values[word] = override.value()
        return self._values[word]


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
