"""`runner sweep [KEY=VALUE ..]`: a search for hyperparameters."""

from collections.abc import Sequence
from pathlib import Path

from runner import config
from runner.arguments import ArgumentParser
from runner.command.hydra_app import import_quickly, run_hydra
from runner.sweep.space.overrides import to_hydra_syntax


def main(words: Sequence[str]) -> int:
    """Compose the config and search; gives the exit status."""
    run_hydra("sweep", as_multirun(words), import_quickly("runner.sweep.execution.job").run_job)
    return 0


def as_multirun(words: Sequence[str]) -> list[str]:
    """The line of a sweep as Hydra needs it.

    It is a multirun, unless something else is to be done with the config; ranges are in Hydra's syntax;
    `sweep.conditional` may bring keys of its own; and the user's folder of configs is known to all that reads configs,
    and to every process of the sweep.
    """
    parser = ArgumentParser(prog="runner sweep", add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    own, rest = parser.parse_known_args(list(words))
    if own.config_dir:
        config.add_user_folder(Path(own.config_dir))
    overrides = [word if word.startswith("-") else to_hydra_syntax(word) for word in rest]
    overrides = ["++" + word if word.startswith("sweep.conditional=") else word for word in overrides]
    return overrides if any(word.startswith("-") for word in overrides) else ["--multirun", *overrides]
