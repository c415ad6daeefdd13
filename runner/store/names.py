"""Names of the folders that runs and sweeps leave."""

import os
from datetime import datetime
from pathlib import Path


def make_folder(root: Path, name: str) -> Path:
    """A new folder `root/name/<time>-<pid>`. An existing one is an error: nothing writes into another's."""
    path = root / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}-{os.getpid()}"
    path.mkdir(parents=True)
    return path
