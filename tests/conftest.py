"""What every test shares: one thread, clean switches, and small trainings to look into."""

from __future__ import annotations

import pytest
import torch

import runner

torch.set_num_threads(1)  # tests run side by side


@pytest.fixture(autouse=True)
def _fresh_switches():
    """Undo the process-wide switches that a run sets."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def train(tmp_path):
    """`train("optimizer=adam")` trains quietly in a temporary folder and gives the run."""

    def quietly(*words):
        return runner.train([*words, f"output_dir={tmp_path}/outputs", "log.progress=none"])

    return quietly


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
