"""`runner train [KEY=VALUE ..]`: one training run, or several with -m."""

from collections.abc import Sequence

from runner.command.hydra_app import TrainJob, run_hydra
from runner.command.options import asks_for_help, command_help


def main(words: Sequence[str]) -> int:
    """Compose the config and train; gives the exit status."""
    if asks_for_help(words):
        print(command_help("train"))
        return 0
    job = TrainJob()
    run_hydra("train", words, job)
    return job.status
