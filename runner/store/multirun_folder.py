"""The record of `runner train -m`: its jobs, with the folders of their runs, so that it can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner import files
from runner.constraints import problem
from runner.errors import UserError, reason
from runner.store.config_file import FORMAT

JOBS, JOBS_LOCK = "jobs.json", ".jobs.lock"
JOB = {"overrides": list[str], "status": str, "folder": str | None, "error": str | None}


class MultirunFolder:
    """`jobs.json` in a folder. Several processes may note how their jobs stand.

    A job's status is queued, running, finished, diverged, failed or interrupted; its folder that of its run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, overrides: Sequence[str], jobs: Sequence[Sequence[str]]) -> MultirunFolder:
        """A new record, of jobs that are queued."""
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path)
        entries = [{"overrides": list(job), "status": "queued", "folder": None, "error": None} for job in jobs]
        folder._write({"format": FORMAT, "overrides": list(overrides), "jobs": entries})
        return folder

    @classmethod
    def open(cls, path: Path) -> MultirunFolder:
        """The record in a folder.

        Raises:
            UserError: there is none, or it is damaged.
        """
        folder = cls(path)
        _ = folder.record
        return folder

    @property
    def record(self) -> dict[str, Any]:
        """The overrides of the command, and the jobs.

        Raises:
            UserError: it cannot be read.
        """
        file = self.path / JOBS
        try:
            record = files.parse_json(file.read_bytes())
            found = problem(record["overrides"], list[str]) or problem(record["jobs"], list[dict[str, Any]])
            for job in record["jobs"]:
                found = found or next((wrong for key in JOB if (wrong := problem(job[key], JOB[key]))), None)
            if found:
                raise ValueError(found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: cannot be read ({reason(error)}); restore it from a copy") from None
        return dict(record)

    @property
    def jobs(self) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self.record["jobs"]
        return jobs

    def note(self, job: int, **fields: Any) -> None:
        """Change fields of a job."""
        with files.make_lock(self.path / JOBS_LOCK):
            record = self.record
            record["jobs"][job] |= fields
            self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        files.replace_file(self.path / JOBS, json.dumps(record, indent=1) + "\n")
