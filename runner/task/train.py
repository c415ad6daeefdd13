"""`runner train`: one training run, from its config to its result."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from runner import build, config, store
from runner.data import Data
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

# Shown in TensorBoard's HParams tab for every run, changed or not, so that runs can be compared.
USUAL_HPARAMS = ("data", "model", "optimizer", "optimizer.lr", "data.batch_size", "reg", "augment", "seed")


def train_overrides(overrides: Sequence[str] = ()) -> Run:
    """Train as `runner train OVERRIDES` would: this is `runner.train`.

    Raises:
        UserError: an override, the config or the data is wrong.
    """
    cfg, choices = config.compose_with_choices(overrides)
    return train(cfg, overrides, choices)


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    folder: RunFolder | None = None,
    dataset: Data | None = None,
    quiet: bool = False,
) -> Run:
    """Train as the config says, in a new folder, or on from where `folder` stands.

    `dataset`: that of the config, where it has been read before. `quiet`: say nothing of beginnings and ends.

    Raises:
        UserError: the config, the data or the checkpoint is wrong; no folder is left behind or changed.
        Interrupted: a signal stopped it; a checkpoint was saved.
    """
    config.check(cfg)
    training = build.training(cfg, dataset)
    state, settings, objective = training.state, training.settings, training.objective
    console = Console(quiet=quiet)
    if folder is None:
        folder = _new_folder(cfg, overrides, choices or {}, str(state.device))
    with Stop() as stop, ExitStack() as stack:
        stack.callback(folder.unlock)
        checkpoints = stack.enter_context(Checkpoints(folder.checkpoints, settings, config.identity(cfg)))
        if checkpoints.restore(state):
            _say_where(console, state.epoch, state.batch, checkpoints.warnings)
        folder.begin(cfg, overrides)
        files = MetricsFile(folder, objective)
        try:
            with ExitStack() as watching:
                observers = [files, *_watch(watching, cfg, training, folder, console)]
                every = cfg.log.every_steps
                fit(
                    state,
                    training.step,
                    training.train,
                    training.evaluate,
                    settings,
                    objective,
                    observers,
                    checkpoints,
                    stop,
                    every,
                )
                checkpoints.wait()
        except BaseException as error:
            _note_end(files, state, error)
            if isinstance(error, Interrupted):
                checkpoints.wait()
                again = f"runner resume {shlex.quote(str(folder.path))}"
                console.print(f"interrupted at step {state.step}; go on with: {again}", highlight=False, soft_wrap=True)
            raise
        trial = state.trials[0]
        status = "interrupted" if trial.status == "running" else trial.status  # a pause
        files.note(state, status=status, finished=store.now(), error=trial.reason or None)
    return Run(folder.path)


def _new_folder(cfg: DictConfig, overrides: Sequence[str], choices: Mapping[str, str], device: str) -> RunFolder:
    name = cfg.name or "-".join(choices.get(group, "run") for group in ("data", "model"))
    path = store.make_folder(Path(cfg.output_dir), name)
    return RunFolder.create(path, name, overrides, choices, store.environment(device))


def _watch(
    stack: ExitStack, cfg: DictConfig, training: build.Training, folder: RunFolder, console: Console
) -> Iterator[Any]:
    """The observers that the config asks for; the stack closes them."""
    log: LogSettings = build.make(cfg.log, "log")
    if log.tensorboard:
        show_images = training.state.step == 0 and log.num_images > 0
        sample = training.train.pictures(log.num_images) if show_images else None
        board = TensorBoard(folder.path, log, hparams(cfg, folder.record), sample)
        stack.callback(board.close)
        yield board
    epochs, batches = training.settings.epochs, training.train.num_batches
    display = progress.make(log.progress, console, epochs, batches, training.objective)
    if display:
        stack.callback(display.close)
        yield display


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
    """What TensorBoard's HParams tab compares: the usual choices and numbers, and every one that was changed."""
    leaves, choices = config.flat(cfg), record["choices"]
    changed = [word.lstrip("+~").partition("=")[0] for word in record["overrides"]]
    shown: dict[str, Any] = {}
    for key in [*USUAL_HPARAMS, *changed]:
        if key in choices:
            shown[key] = choices[key]
        elif key in leaves:
            value = leaves[key]
            shown[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return shown
