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


@pytest.mark.parametrize(
    ("vectorize", "num_workers", "count", "sizes"),
    [
        ("auto", 1, 130, [128, 2]),
        ("auto", 2, 130, [65, 65]),
        ("auto", 4, 6, [2, 2, 2]),
        ("auto", None, 40, [16, 16, 8]),
        (20, None, 40, [16, 16, 8]),
        (8, None, 20, [8, 8, 4]),
        (200, 1, 130, [130]),
        (1, 1, 3, [3]),
        (1, 2, 3, [1, 1, 1]),
    ],
)
def test_a_job_has_as_many_trials_as_a_worker_gets_up_to_a_limit(vectorize, num_workers, count, sizes):
    assert [len(job) for job in TrialBatcher(vectorize, num_workers)(trials(*["a"] * count))] == sizes
