"""What jobs return, made by hand."""

from hydra.core.utils import JobReturn, JobStatus


def returned(status=JobStatus.COMPLETED, value=None, **about):
    """A job's return. `value`: what it returned, or the exception that it raised."""
    made = JobReturn(status=status, **about)
    made.return_value = value
    return made
