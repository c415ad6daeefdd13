"""The runs that a finished sweep's answer rests on."""

from pathlib import Path

from runner.errors import UserError
from runner.store import SweepFolder
from runner.sweep.record.journal import Journal
from runner.sweep.record.rounds import FinalRound, read_rounds


def best_runs(folder: SweepFolder) -> list[Path]:
    """The folders of the finals of the best configuration, one for each seed; the best trial's where there were none.

    Raises:
        UserError: no trial has finished.
    """
    best = folder.record["best"]
    if best is None:
        raise UserError(f"{folder.path}: no trial has finished")
    journal = Journal(folder.journal)
    journal.refresh()
    finals = {one.index for one in read_rounds(folder.record["rounds"]) if isinstance(one, FinalRound)}
    winner = journal.trials[best["trial"]]
    alike = [trial for trial in journal.trials.values() if trial.point == winner.point and trial.round in finals]
    chosen = [trial for trial in alike if trial.status == "finished"] or [winner]
    return [folder.trial(trial.trial) for trial in chosen]
