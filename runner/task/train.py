"""`runner train`: one training run, from its config to its result."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from runner import build, config, store
from runner.engine.checkpoint import Checkpoints
from runner.engine.loop import fit
from runner.engine.stop import Stop
from runner.errors import Interrupted, UserError
from runner.store import RunFolder
from runner.task.load import Run
from runner.watch import progress
from runner.watch.files import MetricsFile
from runner.watch.settings import LogSettings
from runner.watch.tensorboard import TensorBoard


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    folder: RunFolder | None = None,
) -> Run:
    """Train as the config says, in a new folder, or on from where `folder` stands.

    Raises:
        UserError: the config or the data is wrong; no folder is left behind.
        Interrupted: a signal stopped it; a checkpoint was saved.
    """
    config.check(cfg)
    console = Console()
    training = build.training(cfg)
    state = training.state
    log: LogSettings = build.make(cfg.log, "log")
    if folder is None:
        name = cfg.name or "-".join((choices or {}).get(group, "run") for group in ("data", "model"))
        environment = store.environment(str(state.device))
        folder = RunFolder.create(Path(cfg.output_dir), name, cfg, overrides, choices or {}, environment)
    with Stop() as stop, ExitStack() as stack:
        stack.callback(folder.unlock)
        files = MetricsFile(folder, training.objective)
        try:
            checkpoints = stack.enter_context(Checkpoints(folder.checkpoints, training.settings, config.identity(cfg)))
            if checkpoints.restore(state):
                _say_where(console, state.epoch, state.batch, checkpoints.warnings)
            observers: list[Any] = [files]
            if log.tensorboard:
                sample = training.train.pictures(log.num_images) if state.step == 0 else None
                observers.append(TensorBoard(folder.path, log, hparams(cfg, folder.record), sample))
                stack.callback(observers[-1].close)
            epochs, batches = training.settings.epochs, training.train.num_batches
            shown = progress.make(log.progress, console, epochs, batches, training.objective)
            if shown:
                observers.append(shown)
                stack.callback(shown.close)
            fit(
                state,
                training.step,
                training.train,
                training.evaluate,
                training.settings,
                training.objective,
                observers,
                checkpoints,
                stop,
                log.every_steps,
            )
        except BaseException as error:
            stack.close()
            _note_end(files, state, error)
            if isinstance(error, Interrupted):
                console.print(f"interrupted at step {state.step}; go on with: [bold]{_resume_command(folder)}[/]")
            raise
        stack.close()
        trial = state.trials[0]
        files.note(state, status=trial.status, finished=store.now(), error=trial.reason or None)
    if log.progress != "none":
        summarise(console, Run(folder.path))
    return Run(folder.path)


def _note_end(files: MetricsFile, state: Any, error: BaseException) -> None:
    """Write down how a run ended that did not end well."""
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    if isinstance(error, UserError):
        text: str | None = str(error)
    else:
        text = None if stopped else "".join(traceback.format_exception(error))
    files.note(state, status="interrupted" if stopped else "failed", finished=store.now(), error=text)


def _say_where(console: Console, epoch: int, batch: int, warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
    place = f"epoch {epoch + 1}, batch {batch + 1}" if batch else f"the end of epoch {epoch}"
    console.print(f"going on from {place}", highlight=False)


def hparams(cfg: DictConfig, record: Mapping[str, Any]) -> dict[str, Any]:
    """What TensorBoard's HParams tab compares: the option of every group, the usual numbers, and every changed key."""
    leaves = config.flat(cfg)
    shown: dict[str, Any] = {
        group: option for group, option in record["choices"].items() if group not in ("log", "engine")
    }
    keys = ["seed", "optimizer.lr", "optimizer.weight_decay", "data.batch_size", "engine.epochs"]
    keys += [word.lstrip("+~").partition("=")[0] for word in record["overrides"]]
    for key in keys:
        if key in leaves:
            value = leaves[key]
            shown[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return shown


def summarise(console: Console, run: Run) -> None:
    """The result and the commands a person would want next."""
    record = run.record
    colour = {"finished": "green", "diverged": "red"}.get(run.status, "yellow")
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("status", f"[{colour}]{run.status}[/]" + (f" ({record['error']})" if record["error"] else ""))
    objective = record["objective"]
    if objective["value"] is not None:
        last = record["metrics"].get("epoch")
        table.add_row(
            f"best {objective['name']}", f"[bold]{objective['value']:.4f}[/] (epoch {objective['epoch']} of {last})"
        )
    for name, value in record["metrics"].items():
        if "/" in name and value is not None:
            table.add_row(f"last {name}", f"{value:.4f}")
    table.add_row("time", f"{record['seconds']:.1f} s")
    table.add_row("folder", str(run.folder))
    console.print(table, highlight=False, soft_wrap=True)
    if run.status == "diverged":
        console.print(
            "what to try: a lower learning rate (optimizer.lr), a warm-up (schedule.warmup_epochs=1) or clipping "
            "(engine.clip_norm=1)"
        )
        return
    root = shlex.quote(str(run.config.output_dir))
    folder = shlex.quote(str(run.folder))
    console.print("next", style="dim")
    for command in (
        f"tensorboard --logdir {root}",
        f"runner test {folder}",
        f"runner resume {folder} engine.epochs={2 * run.config.engine.epochs}",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)


def _resume_command(folder: RunFolder) -> str:
    return f"runner resume {shlex.quote(str(folder.path))}"
