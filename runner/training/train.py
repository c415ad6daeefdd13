"""`runner train`: one training run, from its config to its result."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from runner import build, config, store
from runner.data import Data
from runner.engine.checkpoint import Checkpoints, StackCheckpoints
from runner.engine.loop import fit
from runner.errors import Interrupted, UserError
from runner.log import progress
from runner.log.metrics_file import MetricsFile
from runner.log.settings import LogSettings
from runner.log.tensorboard import TensorBoard
from runner.signals import Stop
from runner.store import RunFolder
from runner.training.run import Run

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
    if folder is None:
        folder = _new_folder(cfg, overrides, choices or {}, str(training.state.device))
    checkpoints = Checkpoints(folder.checkpoints, training.settings, config.identity(cfg))
    _fit(training, checkpoints, [Member(cfg, overrides, folder)], Console(quiet=quiet))
    return Run(folder.path)


@dataclass(frozen=True)
class Member:
    """One trial of a training: its config, what was said for it, and its locked folder."""

    cfg: DictConfig
    overrides: Sequence[str]
    folder: RunFolder


def train_stack(members: Sequence[Member], dataset: Data | None = None) -> list[Run]:
    """Train several trials as one batched network, each into its folder, or on from where they stand. Says nothing.

    Raises:
        CannotStack: they can only train one by one.
        UserError, Interrupted: as `train`.
    """
    for member in members:
        config.check(member.cfg)
    training = build.stack([member.cfg for member in members], dataset)
    folders = [member.folder.checkpoints for member in members]
    checkpoints = StackCheckpoints(folders, training.settings, [config.identity(member.cfg) for member in members])
    _fit(training, checkpoints, members, Console(quiet=True))
    return [Run(member.folder.path) for member in members]


def _fit(
    training: build.Training, checkpoints: Checkpoints | StackCheckpoints, members: Sequence[Member], console: Console
) -> None:
    """Train to the end, from where the checkpoints stand, and note in each folder how it went."""
    state, settings = training.state, training.settings
    with Stop() as stop, ExitStack() as stack:
        for member in members:
            stack.callback(member.folder.unlock)
        stack.enter_context(checkpoints)
        if checkpoints.restore(state):
            _say_where(console, state.epoch, state.batch, checkpoints.warnings)
        files = []
        for trial, member in enumerate(members):
            member.folder.begin(member.cfg, member.overrides)
            files.append(MetricsFile(member.folder, training.objective, trial))
        try:
            with ExitStack() as watching:
                observers: list[Any] = [*files, *_watch(watching, training, members, console)]
                fit(
                    state,
                    training.step,
                    training.train,
                    training.evaluate,
                    settings,
                    training.objective,
                    observers,
                    checkpoints,
                    stop,
                    members[0].cfg.log.every_steps,
                )
                checkpoints.wait()
        except BaseException as error:
            for file in files:
                _note_end(file, state, error)
            if isinstance(error, Interrupted):
                checkpoints.wait()
                again = f"runner resume {shlex.quote(str(members[0].folder.path))}"
                console.print(f"interrupted at step {state.step}; go on with: {again}", highlight=False, soft_wrap=True)
            raise
        for file, trial_ in zip(files, state.trials, strict=True):
            status = "interrupted" if trial_.status == "running" else trial_.status  # a pause
            file.note(state, status=status, finished=store.now(), error=trial_.reason or None)


def _new_folder(cfg: DictConfig, overrides: Sequence[str], choices: Mapping[str, str], device: str) -> RunFolder:
    name = cfg.name or "-".join(choices.get(group, "run") for group in ("data", "model"))
    path = store.make_folder(Path(cfg.output_dir), name)
    return RunFolder.create(path, name, overrides, choices, store.environment(device))


def _watch(stack: ExitStack, training: build.Training, members: Sequence[Member], console: Console) -> Iterator[Any]:
    """The observers that the configs ask for; the stack closes them. The display follows one trial alone."""
    log: LogSettings = build.make(members[0].cfg.log, "log")
    if log.tensorboard:
        for trial, member in enumerate(members):
            show_images = training.state.step == 0 and log.num_images > 0
            sample = training.train.of(trial).pictures(log.num_images) if show_images else None
            shown = hparams(member.cfg, member.folder.record)
            board = TensorBoard(member.folder.path, log, shown, sample, member.folder.metrics, trial)
            stack.callback(board.close)
            yield board
    if len(members) == 1 and not console.quiet:
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
