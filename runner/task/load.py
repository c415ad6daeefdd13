"""A finished or running run, as Python sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from runner.store import RunFolder


class Run:
    """What a run left: `config`, `status`, `metrics` by epoch, and the trained `model()`."""

    def __init__(self, folder: str | Path, trust: bool = False) -> None:
        self.folder = Path(folder)
        self._trust = trust
        self._files = RunFolder.open(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, status={self.status!r})"

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json."""
        return self._files.record

    @property
    def config(self) -> DictConfig:
        return self._files.config

    @property
    def status(self) -> str:
        """running, finished, failed, diverged or interrupted."""
        return str(self.record["status"])

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """A dict an epoch, as in metrics.jsonl."""
        return self._files.metrics

    @property
    def objective(self) -> float | None:
        """The best value of the objective."""
        objective = self.record["objective"]
        return None if objective is None else objective["value"]

    def model(self, checkpoint: str = "best") -> nn.Module:
        """The trained classifier on the CPU, in evaluation mode: images [B, C, S, S] in [0, 1] to class scores [B, K].

        Raises:
            UserError: there is no such checkpoint, or the config names classes that are not runner's own and
                the run was loaded without `trust`.
        """
        from runner import build
        from runner.engine.checkpoint import read

        config = self.config
        if not self._trust:
            build.check_trusted(config)
        saved = read(self._files.checkpoints / f"{checkpoint}.pt")["state"]
        network, preprocess = build.scored_network(config, build.data(config), saved)
        return nn.Sequential(preprocess, network).eval()


def load(folder: str | Path, trust: bool = False) -> Run:
    """The run in that folder. `trust` allows its config to build classes that are not runner's own.

    Raises:
        UserError: the folder is no run.
    """
    return Run(folder, trust)
