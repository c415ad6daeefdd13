"""Which trials make one job, and which of them train together."""

import pytest

from runner.sweep.execution.batching import TrialBatcher
from runner.sweep.record.trial import TrialRecord


def trials(*signatures):
    return [TrialRecord(n, 0, {}, None, 1, f"trials/{n:04d}", signature=name) for n, name in enumerate(signatures)]


@pytest.mark.parametrize(
    ("vectorize", "num_workers", "jobs"),
    [
        ("off", 1, [[0, 1, 2, 3, 4]]),
        ("off", 2, [[0], [1], [2], [3], [4]]),
        ("off", None, [[0], [1], [2], [3], [4]]),
        ("auto", 1, [[0, 1, 3], [2], [4]]),
        ("auto", 2, [[0, 1], [3], [2], [4]]),
        (2, 1, [[0, 1], [3], [2], [4]]),
    ],
)
def test_trials_of_one_signature_share_a_job_as_far_as_every_worker_has_one(vectorize, num_workers, jobs):
    made = TrialBatcher(vectorize, num_workers)(trials("a", "a", "b", "a", None))
    assert [[trial.trial for trial in job] for job in made] == jobs


def test_no_trials_make_no_job():
    assert TrialBatcher("off", 1)([]) == []
