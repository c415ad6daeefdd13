"""Going on with a sweep: what to say to Hydra, and that what was begun is still what is meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner import config, store
from runner.arguments import ArgumentParser
from runner.errors import UserError
from runner.store import SweepFolder
from runner.sweep.execution.search import in_folder, replaced
from runner.sweep.record.journal import Journal
from runner.sweep.space.trial_configs import TrialConfigs
from runner.sweep.strategy.plan import Plan, Record

# What may change when a sweep goes on: how much and how it runs, not what it searches.
FREE = (
    "rounds",
    "finals",
    "final_seeds",
    "workers",
    "stack",
    "report",
    "on_error",
    "max_failures",
    "keep",
    "shrink",
    "explore",
)


def words_for(words: Sequence[str]) -> list[str]:
    """The words of `runner sweep` that go on with the sweep of `runner resume FOLDER [KEY=VALUE ..]`.

    Raises:
        UserError: the folder is no sweep.
    """
    parser = ArgumentParser(prog="runner resume", description="Go on with a sweep, or lengthen a finished one.")
    parser.add_argument("folder", type=Path, help="the sweep's folder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes, such as sweep.finals=3")
    arguments = parser.parse_intermixed_args(list(words))
    folder = SweepFolder.open(arguments.folder)
    for path in folder.record.get("config_folders", []):
        config.add_user_folder(Path(path))
    said = replaced(folder.record["overrides"], arguments.overrides)
    return [*said, in_folder(arguments.folder)]


def check_unchanged(folder: SweepFolder, plan: Plan, now: DictConfig, configs: TrialConfigs) -> None:
    """Hold the config of today to that of the sweep's beginning, and to the configs of the trials that it made.

    Raises:
        UserError: something differs that decides what is searched; its key is named.
    """
    if folder.record["rounds"] and not folder.journal.exists():
        raise UserError(f"{folder.journal}: is missing; restore it from a copy, or start a new sweep")
    before, after = folder.record["space"], json.loads(json.dumps(plan.space.describe()))
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            raise UserError(
                f"{name}: the sweep searches {_shown(before.get(name))}, asked for now is {_shown(after.get(name))}; "
                "put it back, or start a new sweep"
            )
    _check_lengths(folder.record["rounds"], plan)
    _compare(folder.config, now, "the sweep")
    seen = set()
    for trial in Journal(folder.journal).standings().values():
        kind = tuple(sorted(trial.choices.items()))
        if kind in seen or not (folder.trial(trial.trial) / "config.yaml").exists():
            continue
        seen.add(kind)
        point = dict(word.split("=", 1) for word in trial.overrides)
        made, _ = configs.of(point)
        _compare(store.read_config(folder.trial(trial.trial)), made, f"trial {trial.trial}")


def _check_lengths(begun: Sequence[Record], plan: Plan) -> None:
    """Rounds and points may be added; what has run keeps its length."""
    searches = [record for record in begun if record["kind"] == "search"]
    if len(plan.rounds) < len(searches):
        raise UserError(
            f"sweep.rounds: {len(searches)} have begun, asked for now are {len(plan.rounds)}; put them back"
        )
    for number, (record, round_) in enumerate(zip(searches, plan.rounds, strict=False), 1):
        if record["epochs"] != round_.epochs:
            differs = f"{record['epochs']} epochs, asked for now are {round_.epochs}"
        elif round_.trials < record["num_trials"] and "fixed" not in record:  # fixed points are as many as there were
            differs = f"{record['num_trials']} trials, asked for now are {round_.trials}"
        else:
            continue
        raise UserError(
            f"sweep.rounds: round {number} has {differs} (engine.epochs is {plan.epochs}); put it back, or start a new "
            "sweep"
        )
    for record in begun:
        if record["kind"] == "finals" and record["epochs"] != plan.epochs:
            raise UserError(
                f"engine.epochs: the finals trained for {record['epochs']}, asked for now are {plan.epochs}; put it "
                "back, or start a new sweep"
            )


def _shown(described: Any) -> str:
    return "nothing" if described is None else ", ".join(f"{key} {value}" for key, value in described.items())


def _compare(stored: DictConfig, now: DictConfig, what: str) -> None:
    before, after = _leaves(stored), _leaves(now)
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            raise UserError(
                f"{key}: {what} was begun with {before.get(key)!r}, the configs now say {after.get(key)!r}; "
                "put it back, or start a new sweep"
            )


def _leaves(cfg: DictConfig) -> dict[str, Any]:
    leaves = config.flat(OmegaConf.to_container(cfg, resolve=True))
    free = [f"sweep.{key}" for key in FREE]
    return {
        key: value
        for key, value in leaves.items()
        if not config.is_free(key) and not any(key == word or key.startswith(word + ".") for word in free)
    }
