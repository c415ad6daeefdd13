"""The folder that a sweep leaves: its record, its journal, and its trials' runs under `trials/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.store.environment import environment
from runner.store.run_folder import ENVIRONMENT, Folder, current_record

SWEEP, JOURNAL, TRIALS = "sweep.json", "journal.jsonl", "trials"


class SweepFolder(Folder):
    """One sweep on disk. `record` is the content of sweep.json."""

    FILE, COMMAND = SWEEP, "sweep"

    @classmethod
    def create(
        cls, path: Path, name: str, overrides: Sequence[str], seed: int, environment: Mapping[str, Any]
    ) -> SweepFolder:
        """A sweep in a new folder, locked."""
        return cls.begun(path, name, overrides, environment, seed=seed, objective=None, rounds=[], best=None)

    @classmethod
    def open(cls, path: Path) -> SweepFolder:
        """The sweep in an existing folder.

        Raises:
            UserError: the folder is no sweep.
        """
        try:
            return cls(path, current_record(path, SWEEP))
        except FileNotFoundError:
            raise UserError(f"{path}: not a sweep's folder (it has no {SWEEP})") from None

    @property
    def _written(self) -> list[Path]:
        return [*super()._written, self.path / TRIALS]

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL

    @property
    def environment(self) -> dict[str, Any]:
        """What the sweep was begun on."""
        return self.read_json(ENVIRONMENT)

    def trial(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self.path / TRIALS / f"{number:04d}"


def changes(folder: SweepFolder) -> list[str]:
    """What is no longer as it was when the sweep began, in words: the code, or the packages that it uses."""
    before = folder.environment
    now = environment(before.get("device", ""))
    found = [
        f"{package} was {version} when the sweep began and is {now['packages'].get(package)} now"
        for package, version in before.get("packages", {}).items()
        if version != now["packages"].get(package)
    ]
    if before.get("code") != now["code"]:
        found.append(f"runner's code is another one: its digest was {before.get('code')} and is {now['code']} now")
    elif before.get("commit") != now["commit"]:
        found.append(f"the project was at commit {_short(before)} when the sweep began and is at {_short(now)} now")
    elif before.get("uncommitted_changes") != now["uncommitted_changes"]:
        found.append("the project has uncommitted changes now, or had them when the sweep began")
    return [f"{change}; trials from before and after may not compare" for change in found]


def _short(environment: Mapping[str, Any]) -> str:
    return str(environment.get("commit") or "none")[:10]
