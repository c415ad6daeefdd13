"""A sweep's trial in TensorBoard: a row of the HParams table, in a small event file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.log.event_files import EventWriter, remove_event_files
from runner.log.tags import BEST, figures


def write_trial_events(
    folder: Path, hparams: Mapping[str, Any], records: Sequence[Mapping[str, Any]], status: str
) -> None:
    """Write hyperparameters, the figures of the last epoch, the best accuracy, and how the trial ended.

    In place of what was written before, where a trial goes on after a pause.
    """
    remove_event_files(folder)
    writer = EventWriter(folder)
    writer.add_session_start(hparams)
    if records:
        last = records[-1]
        accuracies = [record["val/accuracy"] for record in records if record.get("val/accuracy") is not None]
        best = {BEST: max(accuracies)} if accuracies else {}
        for tag, value in (figures(last) | best).items():
            writer.add_scalar(tag, value, last["step"])
    writer.add_session_end(status)
    writer.close()
