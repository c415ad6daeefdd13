"""What a run ran on."""

import hashlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Sequence
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
        "gpu": _gpu(device),
        "folder": str(Path.cwd()),
        "code": code(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": _uncommitted_changes(),
    }


def _gpu(device: str) -> dict[str, Any] | None:
    """The GPU of that name and its software, by which the same bits can be expected again; None without one."""
    torch = sys.modules.get("torch")
    if not device.startswith("cuda") or torch is None or not torch.cuda.is_available():
        return None
    about = torch.cuda.get_device_properties(device)
    return {
        "name": about.name,
        "capability": f"{about.major}.{about.minor}",
        "memory_mib": about.total_memory // 2**20,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _driver() -> str | None:
    """The version of NVIDIA's driver, as its module says."""
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return None


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


def _git(*words: str, without: Sequence[str] = ()) -> str | None:
    """What git says of the current folder, or None outside a repository. `without`: settings that are put out.

    The folder may be somebody else's, and the settings of a repository name programs: monitors of files, hooks, filters
    of contents, transports. None of them is run.
    """
    settings = ["core.fsmonitor=false", f"core.hooksPath={os.devnull}", *without]
    flags = [flag for setting in settings for flag in ("-c", setting)]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
    command = ["git", *flags, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _uncommitted_changes() -> bool:
    """Whether a file that git follows differs from the commit."""
    filters = (_git("config", "--name-only", "--get-regexp", r"^filter\.") or "").splitlines()
    without = [f"{name}={'false' if name.endswith('.required') else ''}" for name in filters]
    words = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    return bool(_git(*words, without=without))


def now() -> str:
    """This moment, to the second, as ISO 8601."""
    return datetime.now().isoformat(timespec="seconds")
