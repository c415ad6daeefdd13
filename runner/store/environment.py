"""What a run ran on."""

import hashlib
import os
import platform
import socket
import subprocess
import sys
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("runner", "torch", "torchvision", "numpy", "hydra-core", "omegaconf", "tensorboard", "scikit-learn")


@cache
def environment(device: str) -> dict[str, Any]:
    """Versions and machine, and the commit of the project in the current folder, for `environment.json`; looked up once
    a process."""
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "device": device,
        "folder": str(Path.cwd()),
        "code": code(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def code() -> str:
    """A digest of runner's own modules, by which a change of them is noticed, however it is installed."""
    package = Path(__file__).parents[1]
    told = hashlib.blake2b(digest_size=8)
    for path in sorted(package.rglob("*.py")):
        told.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return told.hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    """What git says of the current folder, or None outside a repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def now() -> str:
    """This moment, to the second, as ISO 8601."""
    return datetime.now().isoformat(timespec="seconds")
