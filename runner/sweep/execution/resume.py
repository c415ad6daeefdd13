"""Going on with a sweep: that what was begun is still what is meant."""

import json
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner import config, store
from runner.errors import UserError
from runner.store import SweepFolder
from runner.sweep.record.journal import Journal
from runner.sweep.record.rounds import Round, finals, read_rounds, searches
from runner.sweep.space.trial_configs import TrialConfigs
from runner.sweep.strategy.plan import Plan

# Keys of `sweep` that may change when a sweep goes on: how much and how it runs, not what it searches.
FREE = (
    "rounds",
    "num_finalists",
    "num_final_seeds",
    "num_workers",
    "vectorize",
    "keep_checkpoints",
    "report",
    "on_error",
    "max_failures",
    "elite_fraction",
    "max_shrink",
    "explore_fraction",
)


def check_unchanged(folder: SweepFolder, plan: Plan, now: DictConfig, configs: TrialConfigs) -> None:
    """Hold the config of today to that of the sweep's beginning, and to the configs of the trials that it made.

    Raises:
        UserError: something differs that decides what is searched; its key is named.
    """
    rounds = read_rounds(folder.record["rounds"], str(folder.path / store.SWEEP))
    if rounds and not folder.journal.exists():
        raise UserError(f"{folder.journal}: is missing; restore it from a copy, or start a new sweep")
    before, after = folder.record.get("space"), json.loads(json.dumps(plan.space.describe()))
    if not isinstance(before, dict) or not all(isinstance(about, dict) for about in before.values()):
        raise UserError(f"{folder.path / store.SWEEP}: its space cannot be read; restore the file from a copy")
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            raise UserError(
                f"{name}: the sweep searches {_text(before.get(name))}, asked for now is {_text(after.get(name))}; "
                "put it back, or start a new sweep"
            )
    _check_lengths(rounds, plan)
    _compare(folder.config, now, "the sweep")
    journal = Journal(folder.journal)
    journal.refresh()
    seen = set()
    for trial in journal.trials.values():
        kind = tuple(sorted(trial.choices.items()))
        if kind in seen or not (folder.trial(trial.trial) / store.CONFIG).exists():
            continue
        seen.add(kind)
        made, _ = configs.of(trial.values)
        _compare(store.read_config(folder.trial(trial.trial)), made, f"trial {trial.trial}")


def _check_lengths(begun: Sequence[Round], plan: Plan) -> None:
    """Rounds and points may be added; what has run keeps its length."""
    search = searches(begun)
    if len(plan.search_plans) < len(search):
        raise UserError(
            f"sweep.rounds: {len(search)} have begun, asked for now are {len(plan.search_plans)}; put them back"
        )
    for number, (round_, now) in enumerate(zip(search, plan.search_plans, strict=False), 1):
        if round_.epochs != now.epochs:
            differs = f"{round_.epochs} epochs, asked for now are {now.epochs}"
        elif now.trials < round_.num_trials and plan.strategy.can_grow(round_):
            differs = f"{round_.num_trials} trials, asked for now are {now.trials}"
        else:
            continue
        raise UserError(
            f"sweep.rounds: round {number} has {differs} (engine.epochs is {plan.epochs}); put it back, or start a new "
            "sweep"
        )
    for final in finals(begun):
        if final.epochs != plan.epochs:
            raise UserError(
                f"engine.epochs: the finals trained for {final.epochs}, asked for now are {plan.epochs}; put it "
                "back, or start a new sweep"
            )


def _text(described: Any) -> str:
    return "nothing" if described is None else ", ".join(f"{key} {value}" for key, value in described.items())


def _compare(stored: DictConfig, now: DictConfig, what: str) -> None:
    before, after = _fixed_leaves(stored), _fixed_leaves(now)
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            raise UserError(
                f"{key}: {what} was begun with {before.get(key)!r}, the configs now say {after.get(key)!r}; "
                "put it back, or start a new sweep"
            )


def _fixed_leaves(cfg: DictConfig) -> dict[str, Any]:
    """The leaves that must not change."""
    leaves = config.flatten(OmegaConf.to_container(cfg, resolve=True))
    free = [f"sweep.{key}" for key in FREE]
    return {
        key: value
        for key, value in leaves.items()
        if not config.is_free(key) and not any(key == word or key.startswith(word + ".") for word in free)
    }
