"""The command line: the first word names a task, the rest of the line is the task's own (for train, Hydra's)."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import EXIT_DIVERGED, EXIT_USER_ERROR, Interrupted, SweepFailed, UserError, did_you_mean


class Left(BaseException):
    """Carries a user's mistake out of Hydra."""


class Command(NamedTuple):
    """A word of the command line."""

    summary: str
    task: str  # module:function
    config: str | None  # Hydra's config name, or None where the task reads its own arguments


COMMANDS = {
    "train": Command("train one network, or several with -m", "runner.training.train:train", "train"),
    "sweep": Command("search hyper-parameters from coarse to fine", "runner.sweep.execution.job:run_trials", "sweep"),
    "resume": Command(
        "go on with a run or a sweep that was stopped, or lengthen it", "runner.command.resume:main", None
    ),
    "test": Command("score a run's best weights on the test split", "runner.command.test:main", None),
    "compare": Command("compare runs: which is better, and how sure is that", "runner.command.compare:main", None),
    "options": Command("list the config groups, their options and keys", "runner.command.options:main", None),
}

HELP = """\
runner - train image classifiers from one command line

usage: runner COMMAND [KEY=VALUE ...]

commands:
{commands}

examples:
  runner train                                   a small ConvNet on handwritten digits
  runner train optimizer=adam reg=[l2,dropout]   other choices, several regularisers
  runner train -m optimizer=sgd,adam seed=1,2    four runs, one after another
  runner sweep sweep=lr_l2                       search learning rate and L2 strength, coarse to fine
  runner compare outputs                         which is better, and how sure is that

runner COMMAND --help says more; runner options lists every choice; tensorboard --logdir outputs shows the runs.
Completion in bash: eval "$(runner -sc install=bash)"
"""

FLAGS_WITH_VALUE = {
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--cfg",
    "-c",
    "--package",
    "-p",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit status: 0 done, 2 user's mistake, 3 diverged, 130/143 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(run(words))
    except (UserError, Left) as error:
        print(f"runner: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except SweepFailed as error:
        print(f"runner: {error}", file=sys.stderr)
        sys.exit(error.status)
    except Interrupted as error:
        sys.exit(128 + error.signal_number)
    except KeyboardInterrupt:
        print("runner: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run(words: list[str]) -> int | None:
    """Find the command and hand it the rest of the line."""
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)), end="")
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"runner {version('runner')}")
        return 0
    if words[0] in ("-sc", "--shell-completion", "--shell_completion"):
        return complete(words)
    if words[0] not in COMMANDS:
        raise UserError(f"{words[0]}: no such command{did_you_mean(words[0], COMMANDS)}")
    command = COMMANDS[words[0]]
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # so that a user's `_target_: mymodels.Net` is found, as with python -m
    if command.config is not None and {"-h", "--help"} & set(words):
        from runner.command.options import command_help

        print(command_help(words[0], command.summary))
        return 0
    if words[0] == "resume" and (again := _sweep_to_resume(words[1:])):
        return run_hydra(COMMANDS["sweep"], ["sweep", *again])
    if command.config is None:
        status: int | None = task_of(command)(words[1:])
        return status
    return run_hydra(command, words)


def _sweep_to_resume(words: list[str]) -> list[str]:
    """The words of `runner sweep` that go on with the sweep whose folder is named, if one is."""
    if not any((Path(word) / "sweep.json").is_file() for word in words):
        return []
    from runner.sweep.execution.resume import words_for

    return words_for(words)


def run_hydra(command: Command, words: list[str]) -> int | None:
    """Let Hydra compose the config and call the task, once or many times."""
    import hydra

    from runner import config
    from runner.sweep.plugin.sweeper import register

    assert command.config is not None
    register()
    overrides = flags_first(words[1:])
    if command.config == "sweep":
        overrides = as_sweep(overrides)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us instead of Hydra's printer
    sys.argv = [f"runner {words[0]}", *overrides, *config.search_path_override()]
    entry = hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=command.config)
    job = Job(command)
    task = job if command.config == "train" else task_of(command)
    logging.raiseExceptions = False  # --info into a closed pipe
    try:
        entry(task)()
    except Exception as error:
        raise config.explained(error, [w for w in overrides if not w.startswith("-")], command.config) from error
    return job.status


class Job:
    """What Hydra calls with each composed config: the task, with the overrides and choices that led to it."""

    __module__ = __name__
    __name__ = __qualname__ = "Job"

    def __init__(self, command: Command) -> None:
        self.command = command
        self.status = 0

    def __call__(self, cfg: Any) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from runner.config import choices

        hydra = HydraConfig.get()
        overrides = list(hydra.overrides.task)
        alone = hydra.mode == RunMode.RUN
        if not alone:
            print(f"job {hydra.job.num}: {' '.join(overrides)}", flush=True)
            if cfg.engine.device == "auto":
                from runner.engine import device

                cfg.engine.device = device.share(hydra.job.num)
        try:
            run = task_of(self.command)(cfg, overrides, choices(cfg, hydra.runtime.choices))
        except UserError as error:
            if alone:
                raise Left(error) from None  # past Hydra, which would add lines of its own
            print(f"runner: job {hydra.job.num}: {error}", file=sys.stderr)
            raise
        if cfg.log.progress != "none":
            run.summarise(brief=not alone)
        if run.status == "diverged":
            self.status = EXIT_DIVERGED
        objective: float | None = run.objective
        return objective


def task_of(command: Command) -> Callable[..., Any]:
    """The command's function. Its modules stay, so the collector need not look through them, now or at the end."""
    module, _, function = command.task.partition(":")
    if module not in sys.modules:
        gc.disable()
        importlib.import_module(module)
        gc.freeze()
        gc.enable()
        atexit.register(_unfreeze)
    task: Callable[..., Any] = getattr(sys.modules[module], function)
    return task


def _unfreeze() -> None:
    """Triton's library complains of whatever is not collected in the end."""
    if "triton" in sys.modules:
        gc.unfreeze()


def flags_first(words: Sequence[str]) -> list[str]:
    """Hydra rejects overrides on both sides of a flag, so flags go to the front."""
    flags: list[str] = []
    overrides: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--info":
            flags.append("--info=all")
        elif word in FLAGS_WITH_VALUE:
            flags += [word, *([value] if (value := next(waiting, None)) is not None else [])]
        elif word.startswith("-") and "=" not in word.lstrip("-").partition("=")[0]:
            flags.append(word)
        else:
            overrides.append(word)
    return flags + overrides


def as_sweep(words: list[str]) -> list[str]:
    """The line of a sweep as Hydra needs it.

    It is a multirun, unless something else is to be done with the config; `sweep.under` may bring keys of its own; and
    the user's folder of configs is known to all that reads configs, and to every process of the sweep.
    """
    from runner import config
    from runner.arguments import ArgumentParser

    parser = ArgumentParser(prog="runner sweep", add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    own, words = parser.parse_known_args(words)
    if own.config_dir:
        config.add_user_folder(Path(own.config_dir))
    words = ["++" + word if word.startswith("sweep.under=") else word for word in words]
    return words if any(word.startswith("-") for word in words) else ["--multirun", *words]


def complete(words: list[str]) -> int | None:
    """Bash completion: command names for the first word, Hydra's completion for the others."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    at_first_word = len(typed) < 2 or (len(typed) == 2 and not line.endswith(" "))
    if "query=bash" in words and at_first_word:
        start = typed[1] if len(typed) == 2 else ""
        print("\n".join(name for name in COMMANDS if name.startswith(start)))
        return 0
    if "query=bash" in words:
        command = COMMANDS.get(typed[1])
        if command is None or command.config is None:
            return 0  # bash falls back to file names
        rest = line.split(None, 2)[2] if len(typed) > 2 else ""
        os.environ["COMP_LINE"] = f"{typed[0]} {rest}"
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
        if "--config-dir" in typed[:-1]:
            words = [*words, "--config-dir", typed[typed.index("--config-dir") + 1]]
        return run_hydra(command, ["train", *words])
    return run_hydra(COMMANDS["train"], ["train", *words])
