"""`runner check [KEY=VALUE ..]`: whether a training is sane, before hours are spent on it."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from runner import config
from runner.check.families import FAMILIES, chosen
from runner.command.hydra_app import import_quickly, run_hydra
from runner.errors import EXIT_WRONG, HydraExit, UserError, as_mistake

ONLY, SKIP, LIST, PROFILE = "--only", "--skip", "--list", "--profile"


def main(words: Sequence[str]) -> int:
    """Compose the config and check the training; gives the exit status.

    Raises:
        UserError: a flag names no check, or the line stands for several runs.
    """
    if LIST in words:
        _print_families()
        return 0
    rest, only = _taken(words, ONLY)
    rest, skip = _taken(rest, SKIP)
    if any(word in ("-m", "--multirun") for word in rest):
        raise UserError("-m: runner check looks at one training; leave it out, and say one value of each key")
    job = CheckJob(chosen(only, skip or []), PROFILE in rest)
    run_hydra("train", [word for word in rest if word != PROFILE], job)
    return job.status


class CheckJob:
    """What Hydra calls with the composed config.

    Attributes:
        status: the exit status: 4 where something is wrong, else 0.
    """

    __module__ = __name__
    __name__ = __qualname__ = "CheckJob"

    def __init__(self, families: Sequence[str], profile: bool) -> None:
        self.families = families
        self.profile = profile
        self.status = 0

    def __call__(self, cfg: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        overrides = list(hydra.overrides.task)
        try:
            config.check(cfg, auto=True)
            run = import_quickly("runner.check.run")
            choices = config.choices(cfg, hydra.runtime.choices)
            verdict = run.check(cfg, overrides, choices, self.families, self.profile)
        except (UserError, OSError) as error:
            raise HydraExit(as_mistake(error)) from None
        if verdict == "wrong":
            self.status = EXIT_WRONG


def _taken(words: Sequence[str], flag: str) -> tuple[list[str], list[str] | None]:
    """The words without a flag and its value, and the names in that; None where the flag is not there.

    Raises:
        UserError: no names follow it.
    """
    rest, names, waiting = [], None, iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if name != flag:
            rest.append(word)
            continue
        text = value if equals else next(waiting, "")
        names = [*(names or []), *(part for part in text.split(",") if part)]
        if not names:
            raise UserError(f"{flag}: expected names after it, as in {flag} data,loss; runner check --list shows them")
    return rest, names


def _print_families() -> None:
    console = Console()
    width = max(map(len, FAMILIES))
    for name, family in FAMILIES.items():
        console.print(f"{name:<{width}}  {family.summary}", highlight=False, soft_wrap=True)
