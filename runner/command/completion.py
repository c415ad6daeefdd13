"""Completion in bash: command names for the first word, Hydra's completion for the others."""

import os

from runner.command.hydra_app import TrainJob, run_hydra
from runner.command.table import COMMANDS


def complete(words: list[str]) -> int:
    """Answer the shell's question for completions of the line that it has put into the environment."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    at_first_word = len(typed) < 2 or (len(typed) == 2 and not line.endswith(" "))
    config_name = "train"
    if "query=bash" in words:
        if at_first_word:
            start = typed[1] if len(typed) == 2 else ""
            print("\n".join(name for name in COMMANDS if name.startswith(start)))
            return 0
        command = COMMANDS.get(typed[1])
        if command is None or command.config is None:
            return 0  # bash falls back to file names
        config_name = command.config
        rest = line.split(None, 2)[2] if len(typed) > 2 else ""
        os.environ["COMP_LINE"] = f"{typed[0]} {rest}"
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
        if "--config-dir" in typed[:-1]:
            words = [*words, "--config-dir", typed[typed.index("--config-dir") + 1]]
    run_hydra(config_name, words, TrainJob())
    return 0
