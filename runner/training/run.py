"""A finished or running run, as Python sees it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from torch import nn

from runner import config, renamed
from runner.formatting import number
from runner.store import RunFolder, find_folder
from runner.store.run_folder import ENVIRONMENT

ADVICE = (
    "a lower learning rate (optimizer.lr), a warm-up (schedule.warmup_epochs=1) or clipping (engine.clip_grad_norm=1)"
)

PATH_KEYS = ("data.root",)  # that may be relative to the working folder


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

    def model(self, checkpoint: str = "best") -> nn.Module:
        """The trained classifier on the CPU, in evaluation mode: images [B, C, S, S] in [0, 1] to class scores [B, K].

        Raises:
            UserError: there is no such checkpoint, or the config names classes that are not runner's own and
                the run was loaded without `trust`.
        """
        from runner import build
        from runner.engine.checkpoint_files import read

        cfg = _with_paths_found(self.config, self._files, self._trust)
        if not self._trust:
            config.check_trusted(cfg)
        saved = read(self._files.checkpoints / f"{checkpoint}.pt")["state"]
        network, preprocess = build.scored_network(cfg, build.data(cfg), saved)
        return nn.Sequential(preprocess, network).eval()

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
        width = max(map(len, lines))
        for name, text in lines.items():
            console.print(f"{name:<{width}}  {text}", highlight=False, soft_wrap=True)
        if self.status == "diverged":
            console.print("what to try: " + ADVICE, soft_wrap=True)
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


def stored_config(
    folder: RunFolder, overrides: Sequence[str], for_: Literal["resume", "test"], trust: bool
) -> DictConfig:
    """The config of a stored run with values changed from the command line, checked.

    Raises:
        UserError: an override is none, would make it another run, or the config would build classes that are not
            runner's own, unless `trust` is set.
    """
    cfg = config.with_overrides(_with_paths_found(folder.config, folder, trust), overrides, for_=for_)
    if not trust:
        config.check_trusted(cfg)
    config.check(cfg)
    return cfg


def _with_paths_found(cfg: DictConfig, folder: RunFolder, trust: bool) -> DictConfig:
    """The config of a run that began in another working folder: relative paths and own modules are found from there.

    What lies in the present working folder comes first.
    """
    began = folder.read_json(ENVIRONMENT).get("folder")
    if not isinstance(began, str) or Path(began) == Path.cwd():
        return cfg
    cfg = cfg.copy()
    for key in PATH_KEYS:
        path = OmegaConf.select(cfg, key, default=None)
        if isinstance(path, str) and not Path(path).expanduser().exists() and (Path(began) / path).exists():
            OmegaConf.update(cfg, key, str(Path(began) / path))
    if trust:
        config.search_modules_in(began)
    return cfg


def load(folder: str | Path, trust: bool = False) -> Run:
    """The run in that folder: its path, `last`, its number or a part of its name.

    `trust` allows its config to build classes that are not runner's own.

    Raises:
        UserError: the folder is no run.
    """
    return Run(folder, trust)
