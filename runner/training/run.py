"""A finished or running run, as Python sees it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from torch import Tensor, nn

from runner import config, renamed
from runner.formatting import number
from runner.store import RunFolder, find_folder

ADVICE = (
    "a lower learning rate (optimizer.lr), a warm-up (schedule.warmup_epochs=1) or clipping (engine.clip_grad_norm=1)"
)


class Run:
    """What a run left: `config`, `status`, `metrics` by epoch, and the trained `model()`."""

    def __init__(self, folder: str | Path, trust: bool = False) -> None:
        self.folder = find_folder(folder)
        self._trust = trust
        self._files = RunFolder.open(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, status={self.status!r})"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Run has no {name}{renamed.hint(renamed.NAMES, name)}")

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
    def tests(self) -> list[dict[str, Any]]:
        """The scores on the test split, a dict for each checkpoint and `tta` that was tested, the newest first."""
        return self._files.tests

    @property
    def objective(self) -> float | None:
        """The best value of the objective."""
        objective = self.record["objective"]
        return None if objective is None else objective["value"]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the scores."""
        from runner import build

        return build.described(self.config, self.record).class_names

    def predict(
        self, images: str | Path | Sequence[str | Path] | Tensor, *overrides: str, weights: str = "best"
    ) -> Any:
        """Labels and probabilities of image files, folders, or a tensor [B, C, S, S] in [0, 1], as `runner predict`.

        Gives `runner.inference.predict.Predictions`: `.labels`, `.probabilities` [B, K], `.top(n)`, `.paths`.

        Raises:
            UserError: a file or folder is not there, the tensor has another shape, or the checkpoint cannot be read.
        """
        from runner.inference.predict import predict_with

        return predict_with([self._files], images, overrides, weights, self._trust)

    def model(self, weights: str = "best") -> nn.Module:
        """The trained classifier on the CPU, in evaluation mode: images [B, C, S, S] in [0, 1] to class scores [B, K].

        `weights`: best, last, average, snapshots, a checkpoint such as epoch-0010, or a file of `runner average`.

        Raises:
            UserError: there are no such weights, or the config names classes that are not runner's own and
                the run was loaded without `trust`.
        """
        from runner.inference.weights import load_network

        cfg = config.with_paths_found(self.config, self._files, self._trust)
        if not self._trust:
            config.check_trusted(cfg)
        stored = load_network(self._files, cfg, weights)
        return nn.Sequential(stored.preprocess, stored.network).eval()

    def print_summary(self, brief: bool = False) -> None:
        """Print the result and the commands a person would want next; briefly, one line."""
        console = Console()
        record, objective = self.record, self.record["objective"]
        color = {"finished": "green", "diverged": "red"}.get(self.status, "yellow")
        best = "none"
        if objective["value"] is not None:
            best = f"[bold]{objective['value']:.4f}[/] (epoch {objective['epoch']} of {record['metrics'].get('epoch')})"
        if brief:
            found = f"best {objective['name']} {best}"
            reason = f"  {escape(record['error'])}" if record["error"] else ""
            line = f"[{color}]{self.status}[/]  {found}  {record['seconds']:.1f} s  {escape(str(self.folder))}{reason}"
            console.print(line, highlight=False, soft_wrap=True)
            return
        reason = f" ({escape(record['error'])})" if record["error"] else ""
        lines = {"status": f"[{color}]{self.status}[/]{reason}"}
        if best != "none":
            lines[f"best {objective['name']}"] = best
        last = {name: value for name, value in record["metrics"].items() if "/" in name and value is not None}
        lines |= {f"last {name}": number(value) for name, value in last.items()}
        lines |= {"time": f"{record['seconds']:.1f} s", "folder": escape(str(self.folder))}
        drawn = sorted(path.stem for path in (self.folder / "figures").glob("*.png"))
        if drawn:
            lines["figures"] = escape(f"{', '.join(drawn)} in {self.folder / 'figures'}")
        width = max(map(len, lines))
        for name, text in lines.items():
            console.print(f"{name:<{width}}  {text}", highlight=False, soft_wrap=True)
        for advice in record.get("advice", []):
            text = f"epoch {advice.get('epoch')}: {advice.get('text')}"
            console.print(f"[yellow]{'advice':<{width}}[/]  {escape(text)}", highlight=False, soft_wrap=True)
        if self.status == "diverged":
            console.print("what to try: " + ADVICE, highlight=False, soft_wrap=True)
            return
        console.print("next", style="dim")
        for command in self._next_commands():
            console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)

    def _next_commands(self) -> list[str]:
        cfg = self.config
        folder = shlex.quote(str(self.folder)) + config.trust_flag(cfg)
        return [
            f"tensorboard --logdir {shlex.quote(str(cfg.output_dir))}",
            f"runner test {folder}",
            f"runner resume {folder} engine.epochs={2 * cfg.engine.epochs}",
        ]


def load(folder: str | Path, trust: bool = False) -> Run:
    """The run in that folder: its path, `last`, its number or a part of its name.

    `trust` allows its config to build classes that are not runner's own.

    Raises:
        UserError: the folder is no run.
    """
    return Run(folder, trust)
