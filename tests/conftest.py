"""What every test shares: a small machine-independent setting, and runs in a temporary folder."""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)  # tests run side by side


@pytest.fixture(autouse=True)
def _fresh_switches():
    """Undo the process-wide switches that a run sets."""
    yield
    torch.use_deterministic_algorithms(False)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
