"""The command line: the first word names a command, the rest of the line is the command's own. Imports no torch."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.arguments import with_quoted_patterns
from runner.command.table import COMMANDS, HELP, Command
from runner.errors import (
    EXIT_USER_ERROR,
    HydraExit,
    Interrupted,
    SweepFailed,
    UserError,
    as_mistake,
    did_you_mean,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit status.

    0 done, 2 user's mistake, 3 diverged, 4 a check found something wrong, 130/143 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = run(words)
        sys.stdout.flush()  # a reader that is gone is noticed here, not at the interpreter's end
        sys.exit(status)
    except BrokenPipeError:  # a kind of OSError, so it comes before that
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, HydraExit) as error:
        print(f"runner: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        print(f"runner: {as_mistake(error)}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except SweepFailed as error:
        print(f"runner: {error}", file=sys.stderr)
        sys.exit(error.status)
    except Interrupted as error:
        sys.exit(128 + error.signal_number)
    except KeyboardInterrupt:
        print("runner: interrupted", file=sys.stderr)
        sys.exit(130)


def run(words: list[str]) -> int | None:
    """Find the command and hand it the rest of the line; gives the exit status."""
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
        from runner.command.completion import answer

        return answer(words)
    if words[0] not in COMMANDS:
        raise UserError(f"{words[0]}: no such command{did_you_mean(words[0], COMMANDS)}")
    if COMMANDS[words[0]].config and {"-h", "--help"} & set(words):  # before what a training needs is imported
        from runner.command.help import command_help

        print(command_help(words[0]))
        return 0
    # The working folder may be anybody's. It is searched when a config names a class that is installed nowhere.
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(Path.cwd()))]
    return _run(COMMANDS[words[0]], with_quoted_patterns(words[1:]))


def _run(command: Command, words: list[str]) -> int | None:
    status: int | None = getattr(importlib.import_module(command.module), command.function)(words)
    return status
