"""The folder that a run leaves: `outputs/<name>/<number>-<what was said>/`. Never shared, never overwritten."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig

from runner import files
from runner.constraints import problem
from runner.errors import UserError, reason
from runner.store.config_file import FORMAT, read_config, write_config
from runner.store.environment import now

CHECKPOINTS = "checkpoints"
RUN, ENVIRONMENT, METRICS, TEST, LOCK = "run.json", "environment.json", "metrics.jsonl", "test.json", ".lock"
# Scores on the test split that differ in one of these stand beside each other.
TESTED_BY = ("checkpoint", "weights", "tta")
# Types of what records hold, which may come from anybody.
FIELDS: dict[str, Any] = {
    **dict.fromkeys(("id", "name", "status", "started", "command", "host"), str),
    **dict.fromkeys(("finished", "error"), str | None),
    **dict.fromkeys(("format", "process", "seed"), int),
    **dict.fromkeys(("overrides", "config_folders", "classes"), list[str]),
    "image_shape": list[int],
    "seconds": float,
    "choices": dict[str, str],
    "objective": dict[str, Any] | None,
    "metrics": dict[str, Any],
    "round": dict[str, str | int],
    "rounds": list[dict[str, Any]],
    "best": dict[str, Any] | None,
    "advice": list[dict[str, Any]],
    "lr_range": dict[str, Any],
}


class Folder:
    """A folder with a record in JSON, held by one process at a time."""

    FILE = ""  # of the record
    COMMAND = ""  # that makes it

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        self._lock: Any = None

    @classmethod
    def begun(
        cls, path: Path, name: str, overrides: Sequence[str], environment: Mapping[str, Any], **fields: Any
    ) -> Self:
        """A folder of this kind in one that is none yet, locked, with its environment; `update` writes the record.

        `fields`: of the record, beside those that runs and sweeps share.
        """
        record = {
            "format": FORMAT,
            "id": path.name,
            "name": name,
            "status": "running",
            "started": now(),
            "finished": None,
            "seconds": 0.0,
            **_process(),
            "command": shlex.join(["runner", cls.COMMAND, *overrides]),
            "overrides": list(overrides),
        }
        folder = cls(path, record | fields)
        folder.lock()
        folder.replace(ENVIRONMENT, json.dumps({"format": FORMAT, **environment}, indent=1) + "\n")
        return folder

    def lock(self, seconds: float = 0) -> None:
        """Hold the folder for this process until it ends, and remove what a killed one left half written.

        `seconds`: how long to wait for another process to let go.

        Raises:
            UserError: another process works in it, or something in it is a link.
        """
        self.refuse_links()
        lock = files.make_lock(self.path / LOCK)
        try:
            lock.acquire(timeout=seconds)
        except TimeoutError:
            raise UserError(
                f"{self.path}: another process is training in this folder; wait for it or stop it"
            ) from None
        self._lock = lock
        files.remove_temporaries(*self._written)

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def refuse_links(self) -> None:
        """Hold the folder to plain files and folders, before anything is written into it.

        Raises:
            UserError: something in it is a link.
        """
        files.refuse_links(*self._written)

    @property
    def _written(self) -> list[Path]:
        """The folders that its files are written into."""
        return [self.path, self.path / "figures"]

    def update(self, **fields: Any) -> None:
        """Change fields of the record, whole or not at all."""
        self.record |= fields
        self.replace(self.FILE, json.dumps(to_plain(self.record), indent=1) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """The mapping in a JSON file of the folder; empty where missing or damaged, for what can be made again."""
        try:
            found = files.parse_json((self.path / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def replace(self, name: str, text: str) -> None:
        """Write a file of the folder, whole or not at all."""
        files.replace_file(self.path / name, text)

    @property
    def config(self) -> DictConfig:
        """The whole resolved config.

        Raises:
            UserError: it cannot be read.
        """
        return read_config(self.path)

    @property
    def figures(self) -> Path:
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder


def _process() -> dict[str, Any]:
    """Which process works in a folder, on which machine."""
    return {"process": os.getpid(), "host": socket.gethostname()}


def read_record(path: Path, file: str) -> dict[str, Any]:
    """The record of a folder.

    Raises:
        FileNotFoundError: it has none.
        UserError: it is damaged.
    """
    try:
        record = files.parse_json((path / file).read_bytes())
        if not isinstance(record, dict) or not {"id", "name", "status"} <= set(record):
            raise ValueError("not the record of a run or a sweep")
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(f"{path / file}: cannot be read ({reason(error)}); restore it from a copy") from None
    return record


def current_record(path: Path, file: str) -> dict[str, Any]:
    """The record of a folder that this version can go on with.

    Raises:
        FileNotFoundError: it has none.
        UserError: it is damaged, or of an earlier version.
    """
    record = read_record(path, file)
    if record.get("format") != FORMAT:
        raise UserError(
            f"{path / file}: of format {record.get('format', 1)}, this version reads {FORMAT}; runner compare still "
            "lists it, for the rest train it anew"
        )
    for field in FIELDS.keys() & record.keys():
        if found := problem(record[field], FIELDS[field]):
            raise UserError(f"{path / file}: {field} {found}; restore it from a copy")
    return record


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The epochs' records in a run's folder, oldest first; a damaged line and what follows it are left out."""
    records = []
    with contextlib.suppress(OSError, ValueError):
        for line in (path / METRICS).read_bytes().splitlines():
            records.append(files.parse_json(line))
    return [record for record in records if isinstance(record, dict) and isinstance(record.get("epoch"), int | float)]


class RunFolder(Folder):
    """One run on disk. `record` is the content of run.json."""

    FILE, COMMAND = RUN, "train"

    @classmethod
    def create(
        cls,
        path: Path,
        name: str,
        overrides: Sequence[str],
        choices: Mapping[str, str],
        environment: Mapping[str, Any],
    ) -> RunFolder:
        """A run in a folder that has none, locked, with its environment; `begin` notes what is trained in it."""
        fields = {"choices": dict(choices), "objective": None, "metrics": {}, "error": None}
        return cls.begun(path, name, overrides, environment, **fields)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run in an existing folder.

        Raises:
            UserError: the folder is no run.
        """
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; expected a run's path, its number or a part of its name")
        try:
            return cls(path, current_record(path, RUN))
        except FileNotFoundError:
            raise UserError(f"{path}: not a run's folder (it has no {RUN})") from None

    def begin(
        self,
        overrides: Sequence[str],
        config: DictConfig | None,
        classes: Sequence[str] = (),
        image_shape: Sequence[int] = (),
    ) -> None:
        """Note what is trained from now on, as running; `config` is None where it is in the folder already.

        The classes and the shape of the images are all that is needed of the data to use the network.
        """
        if config is not None:  # first, for a folder with a record is a run, and can be resumed
            write_config(self.path, config, overrides)
        known = {"classes": list(classes), "image_shape": list(image_shape)}
        self.update(status="running", overrides=list(overrides), finished=None, error=None, **known, **_process())

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The epochs' records, oldest first; a line cut short by a crash is left out."""
        return read_metrics(self.path)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        with files.open_to_append(self.path / METRICS) as file:
            file.write(json.dumps(to_plain(record)).encode() + b"\n")

    def rewind_metrics(self, epoch: int) -> None:
        """Forget the epochs after `epoch`: they will be trained again."""
        if not (self.path / METRICS).exists():
            return
        kept = [record for record in self.metrics if record["epoch"] <= epoch]
        self.replace(METRICS, "".join(json.dumps(record) + "\n" for record in kept))

    @property
    def tests(self) -> list[dict[str, Any]]:
        """Scores on the test split, of test.json: the newest, then those of other checkpoints, weights or `tta`."""
        newest = self.read_json(TEST)
        earlier = newest.pop("earlier", [])  # the form before had none
        found = [newest, *(earlier if isinstance(earlier, list) else [])]
        return [test for test in found if isinstance(test, dict) and isinstance(test.get("accuracy"), float)]

    def add_test(self, result: Mapping[str, Any]) -> None:
        """Write scores on the test split into test.json, in the place of those that were made alike."""
        earlier = [test for test in self.tests if any(test.get(key, result[key]) != result[key] for key in TESTED_BY)]
        written = {**result, "earlier": earlier} if earlier else result
        self.replace(TEST, json.dumps(written, indent=1) + "\n")

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    def check_has_checkpoints(self) -> None:
        """Refuse the trial of a sweep that kept none of its checkpoints.

        Raises:
            UserError: it is such a trial.
        """
        ended = self.record["status"] not in ("running", "failed") and self.record.get("finished") is not None
        if "round" in self.record and ended and not any(self.checkpoints.glob("*.pt")):
            raise UserError(
                f"{self.path}: this trial of a sweep kept no checkpoint (sweep.keep_checkpoints); train it again with "
                f"{self.record['command']}, or sweep with sweep.keep_checkpoints=all"
            )

    @property
    def _written(self) -> list[Path]:
        return [*super()._written, self.checkpoints]


def remove_checkpoints(path: Path) -> None:
    """Remove the checkpoints of a run in that folder, if it has any; nothing is followed out of the folder."""
    folder = path / CHECKPOINTS
    if any(part.is_symlink() for part in (path.parent, path, folder)):
        return
    with contextlib.suppress(FileNotFoundError):
        for file in list(folder.iterdir()):
            if file.suffix in (".pt", ".json", ".tmp"):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody keeps a file of their own there
            folder.rmdir()


def to_plain(value: Any) -> Any:
    """The same nested data as JSON allows it: NaN and infinities become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
