"""The trials of an application that is not ours."""

import pytest
from hydra.core.utils import JobReturn, JobStatus

from runner.errors import WorkerDied
from runner.sweep.plugin.generic import AnyTask
from runner.sweep.record.trial import TrialRecord


@pytest.mark.parametrize(
    ("status", "value", "ends"),
    [
        (JobStatus.COMPLETED, 0.5, [("finished", 0.5)]),
        (JobStatus.COMPLETED, "no number", [("finished", None)]),
        (JobStatus.FAILED, ValueError("wrong"), [("failed", None)]),
        (JobStatus.FAILED, WorkerDied("gone"), []),
    ],
)
def test_a_job_that_returned_has_finished_and_one_whose_worker_died_runs_again(status, value, ends):
    returned = JobReturn(status=status)
    returned.return_value = value
    found = AnyTask([]).unrecorded_ends([TrialRecord(0, 0, {}, None, 1, "")], returned)
    assert [(event["event"], event.get("score")) for event in found] == ends
