"""A sweep's trial in TensorBoard: a row of the HParams table, in a small event file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.log.event_files import EventWriter, remove_event_files
from runner.log.tags import BEST, tag_of


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
        figures = {tag_of(name): value for name, value in last.items() if name not in ("epoch", "step")}
        accuracies = [record["val/accuracy"] for record in records if record.get("val/accuracy") is not None]
        figures |= {BEST: max(accuracies)} if accuracies else {}
        for tag, value in figures.items():
            writer.add_scalar(tag, math.nan if value is None else value, last["step"])
    writer.add_session_end(status)
    writer.close()
