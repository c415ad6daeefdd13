"""How many processes read images."""

import os

import pytest

from runner.build import parts
from runner.engine.device import NUM_WORKERS


@pytest.mark.parametrize(
    ("cores", "sweep_workers", "expected"), [(8, None, 8), (64, None, 16), (8, "4", 2), (2, "8", 1)]
)
def test_images_are_read_by_as_many_processes_as_there_are_cores(monkeypatch, cores, sweep_workers, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    if sweep_workers:
        monkeypatch.setenv(NUM_WORKERS, sweep_workers)
    assert parts.num_loading_workers("auto") == expected


def test_a_number_of_processes_is_taken_as_it_is():
    assert parts.num_loading_workers(0) == 0
