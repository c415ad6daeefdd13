"""The folder that a run leaves: `outputs/<name>/<time>-<pid>/`. Never shared, never overwritten."""

from __future__ import annotations

import fcntl
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

from runner.errors import UserError

RUN, CONFIG, OVERRIDES, ENVIRONMENT, METRICS = (
    "run.json",
    "config.yaml",
    "overrides.yaml",
    "environment.json",
    "metrics.jsonl",
)


class RunFolder:
    """One run on disk. `record` is the content of run.json."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        self._lock: IO[str] | None = None

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        overrides: Sequence[str],
        choices: Mapping[str, str],
        environment: Mapping[str, Any],
    ) -> RunFolder:
        """A new, locked folder with its environment; `begin` notes what is trained in it."""
        started = datetime.now()
        id_ = f"{started:%Y-%m-%d_%H-%M-%S-%f}-{os.getpid()}"
        path = root / name / id_
        path.mkdir(parents=True)  # an existing folder is an error: no run writes into another
        record = {
            "id": id_,
            "name": name,
            "status": "running",
            "started": started.isoformat(timespec="seconds"),
            "finished": None,
            "seconds": 0.0,
            "command": shlex.join(["runner", "train", *overrides]),
            "overrides": list(overrides),
            "choices": dict(choices),
            "objective": None,
            "metrics": {},
            "error": None,
        }
        folder = cls(path, record)
        (path / ENVIRONMENT).write_text(json.dumps(environment, indent=1) + "\n")
        folder.lock()
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run in an existing folder.

        Raises:
            UserError: the folder is no run.
        """
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; expected a run's folder such as outputs/digits-convnet/2026-...")
        try:
            record = json.loads((path / RUN).read_text())
            if not isinstance(record, dict) or not {"id", "name", "status"} <= set(record):
                raise ValueError
        except FileNotFoundError:
            raise UserError(f"{path}: not a run's folder (it has no {RUN})") from None
        except (ValueError, OSError) as error:
            raise UserError(f"{path / RUN}: damaged ({error or 'not a run record'}); restore it from a copy") from None
        return cls(path, record)

    def lock(self) -> None:
        """Hold the folder for this process until it ends.

        Raises:
            UserError: another process trains in it.
        """
        # A POSIX lock belongs to this process alone: the loader's worker processes, which outlive a killed parent for
        # some seconds, do not hold it. The file is one that is never replaced.
        file = (self.path / ENVIRONMENT).open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise UserError(
                f"{self.path}: another process is training in this folder; wait for it or stop it"
            ) from None
        self._lock = file

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def update(self, **fields: Any) -> None:
        """Change fields of run.json, whole or not at all."""
        self.record |= fields
        self.replace(RUN, json.dumps(_plain(self.record), indent=1) + "\n")

    def replace(self, name: str, text: str) -> None:
        """Write a file of the folder, whole or not at all."""
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(text)
        temporary.replace(self.path / name)

    @property
    def config(self) -> DictConfig:
        """The whole resolved config.

        Raises:
            UserError: it cannot be read.
        """
        try:
            config = OmegaConf.load(self.path / CONFIG)
        except Exception as error:  # YAML and OmegaConf raise many kinds
            reason = str(error).splitlines()[0]
            raise UserError(f"{self.path / CONFIG}: cannot be read ({reason}); restore it from a copy") from None
        if not isinstance(config, DictConfig):
            raise UserError(f"{self.path / CONFIG}: not a config; restore it from a copy")
        return config

    def begin(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Note what is trained from now on, as running."""
        self.update(status="running", overrides=list(overrides), finished=None, error=None)
        self.replace(CONFIG, OmegaConf.to_yaml(config, resolve=True))
        self.replace(OVERRIDES, OmegaConf.to_yaml(OmegaConf.create(list(overrides))))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The epochs' records, oldest first; a line cut short by a crash is left out."""
        path = self.path / METRICS
        records = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        with (self.path / METRICS).open("a") as file:
            file.write(json.dumps(_plain(record)) + "\n")

    def rewind_metrics(self, epoch: int) -> None:
        """Forget the epochs after `epoch`: they will be trained again."""
        kept = [record for record in self.metrics if record["epoch"] <= epoch]
        self.replace(METRICS, "".join(json.dumps(record) + "\n" for record in kept))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder


def _plain(value: Any) -> Any:
    """The same nested data as JSON allows it: NaN and infinities become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
