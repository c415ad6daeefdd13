"""How long a sweep ran before it was resumed."""

import json

import pytest

from runner.sweep.record.journal import Journal, seconds_until
from runner.sweep.record.status import recorded_status
from runner.sweep.space.space import Interval

TRIALS = [({"lr": "0.1"}, 0.5, "finished")] * 5  # one every two seconds


@pytest.mark.parametrize(
    ("recorded", "before"),
    [
        (0.0, 10.0),  # it was killed before it wrote its seconds down
        (7.9, 10.0),
        (8.1, 8.1),  # no further from the journal than its whole seconds are off
        (12.5, 12.5),
    ],
)
def test_a_sweep_that_was_killed_had_run_as_long_as_its_journal_says(write_sweep, recorded, before):
    folder = write_sweep([{"lr": Interval(0.0, 1.0)}], [TRIALS]).folder
    assert seconds_until(Journal(folder.journal).refresh()) == 10
    folder.update(seconds=recorded, status="running")
    with recorded_status(folder):
        pass
    last = json.loads(folder.journal.read_text().splitlines()[-1])
    assert (last["event"], last["seconds_before"]) == ("resumed", before)
    assert folder.record["status"] == "finished"
    assert folder.record["seconds"] >= before
