"""The space of a sweep of training runs, from its overrides: which keys are searched, and where each applies."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from runner import config
from runner.errors import UserError
from runner.sweep.space.overrides import EXAMPLE, Dimension, bare_key, parse_conditional, parse_overrides
from runner.sweep.space.space import Categorical, Interval, Point, Space, condition_of, key_of
from runner.sweep.space.trial_configs import Compose, TrialConfigs, combinations
from runner.warnings import note

SET_BY_THE_SWEEP = {
    "engine.epochs": "sweep.rounds says how long trials are",
    "seed": "sweep.num_final_seeds repeats the best points, and runner train -m seed=1,2,3 any",
}


def build_space(
    given: Sequence[str],
    listed: Sequence[str],
    conditional: Mapping[str, Any],
    compose: Compose,
    config_loader: Any,
    conditional_is_given: bool,
    trust: bool = True,
) -> tuple[list[str], Space, TrialConfigs]:
    """The overrides that all trials share, the space, and the configs of its points.

    Args:
        given: overrides of the command line, which win over those of the file.
        listed: `sweep.space`.
        conditional: `sweep.conditional`; `conditional_is_given` where the command line has it.
        trust: whether configs may build classes that are not runner's own.

    Raises:
        UserError: a range makes no sense, does not fit its key, or nothing is searched.
    """
    parse = partial(parse_overrides, config_loader=config_loader)
    # What is fixed decides which bounds the ranges have, so ranges are read twice: for their keys, then in full.
    parsed = parse([*listed, *given])
    for key, value in parsed.items():
        if isinstance(value, Interval) and config.is_group(key):
            raise UserError(f"{key}: its values are options, not numbers; name them, as in {key}=first,second")
    shared = [f"{key}={value}" for key, value in parsed.items() if isinstance(value, str)]
    configs = TrialConfigs(compose, shared, trust)
    options = {key: value.options for key, value in parsed.items() if isinstance(value, Categorical)}
    # What the command line says holds whatever the file says.
    said = set(map(bare_key, parse(given)))
    bounded = parse([*listed, *given], bounds=partial(configs.bounds, options))
    dimensions = {key: value for key, value in bounded.items() if not isinstance(value, str)}
    for group, option, words in parse_conditional(conditional):
        if group in said and not _may_be(configs, options, group, option):
            configs.choices([f"{group}={option}"])  # raises where it is no option at all
            continue
        for key, value in parse(words, bounds=partial(configs.bounds, {**options, group: (option,)})).items():
            if conditional_is_given or bare_key(key) not in said:
                dimensions[f"{key}[{group}={option}]"] = Categorical((value,)) if isinstance(value, str) else value
    _check_keys(dimensions)
    space = Space(dimensions, partial(_applies, configs, dimensions))
    # The command line may leave no option that has a key of the file.
    for name in [name for name in _unused(space) if key_of(name) not in said and name.partition(".")[0] in said]:
        del dimensions[name]
    _check_fit(space, configs)
    return shared, space, configs


def _check_keys(dimensions: Mapping[str, Dimension]) -> None:
    for key, instead in SET_BY_THE_SWEEP.items():
        if any(key_of(name) == key for name in dimensions):
            raise UserError(f"{key}: a sweep sets it itself and cannot search it: {instead}")
    if not dimensions:
        raise UserError(f"sweep.space: nothing to search; choose one, as in sweep=lr, or give a range: {EXAMPLE}")


def _check_fit(space: Space, configs: TrialConfigs) -> None:
    """Hold every range to its key: it applies somewhere, and both of its ends fit; note what acts in one place."""
    points = combinations(_options(space))
    for name in sorted(_unused(space)):
        configs.of({**points[0], key_of(name): "0"})  # raises with the nearest right key
        raise UserError(
            f"sweep.conditional: {name} never applies; name a group that is searched, and one of its options"
        )
    texts: dict[str, None] = {}
    for point, u in product(points, (0.0, 1.0)):
        corner = {name: dim.at(u) for name, dim in space.dimensions.items()} | point
        cfg, _ = configs.of(space.point(corner))
        config.check(cfg)
        config.check_combinations(cfg)
        texts |= dict.fromkeys(config.notes(cfg))
    for text in texts:
        note(text)


def _may_be(configs: TrialConfigs, options: Mapping[str, Sequence[str]], group: str, option: str) -> bool:
    """Whether a trial can have that option of that group."""
    return option in (options[group] if group in options else [configs.choices([]).get(group)])


def _applies(configs: TrialConfigs, dimensions: Mapping[str, Any], name: str, point: Point) -> bool:
    """Whether a dimension has a place in a point: its choice is made, no closer range holds, and the key is there."""
    options = [f"{key}={value}" for key, value in point.items() if config.is_group(key)]
    choices = configs.choices(options)
    key, condition = key_of(name), condition_of(name)
    if condition:
        group, _, option = condition.partition("=")
        return choices.get(group) == option
    siblings = [other for other in dimensions if other.startswith(f"{key}[")]
    if any(_applies(configs, dimensions, other, point) for other in siblings):
        return False
    return configs.has(key, options)


def _options(space: Space) -> dict[str, Sequence[str]]:
    return {name: dim.options for name, dim in space.dimensions.items() if isinstance(dim, Categorical)}


def _unused(space: Space) -> set[str]:
    """Dimensions that have a place in no trial."""
    unused = set(space.dimensions)
    for point in combinations(_options(space)):
        unused -= {name for name in unused if space.applies(name, point)}
    return unused
