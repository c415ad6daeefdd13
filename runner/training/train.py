"""One training, of one run or of vectorized trials, from a checked config to its result."""

import shlex
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig
from rich.console import Console

from runner import build, config, store
from runner.check import batch_size, lr
from runner.data import Data
from runner.engine.checkpoint import Checkpoints, Wanted
from runner.engine.device import unused_gpu
from runner.engine.loop import Training, fit
from runner.engine.vectorized.checkpoint import VectorizedCheckpoints
from runner.errors import Interrupted, OutOfMemory, UserError
from runner.files import replace_file
from runner.formatting import number
from runner.log import progress
from runner.log.doctor import Doctor
from runner.log.hparams import hparams
from runner.log.metrics_file import MetricsFile
from runner.log.tensorboard import Subject, TensorBoard
from runner.log.texts import describe_network, describe_run
from runner.log.trial_events import write_trial_events
from runner.model.summary import LayerSummary
from runner.signals import Stop
from runner.stages import stage
from runner.store import RunFolder
from runner.training.figures import draw_run
from runner.training.header import network_layers, print_header, print_layers
from runner.training.run import Run
from runner.warnings import failure_as_warning, note, warn

UNREADABLE = "unreadable.txt"  # images that were left out, since they cannot be decoded

TensorBoardExtent = Literal["none", "summary", "all"]


@dataclass(frozen=True)
class Member:
    """One run of a training.

    Args:
        cfg: its config, checked.
        overrides: what was said for it.
        folder: locked.
        is_trial: of a sweep: its folder holds the config already, and with no undamaged checkpoint it begins anew.
        accept_changed_images: go on with other images than those before.
        tensorboard: all that is logged, or of a trial its hyperparameters and last figures alone, or none.
        wanted: of a trial, whether the state at its end is to be saved, by the objective's best value; None: always.
    """

    cfg: DictConfig
    overrides: Sequence[str]
    folder: RunFolder
    is_trial: bool = False
    accept_changed_images: bool = False
    tensorboard: TensorBoardExtent = "all"
    wanted: Wanted | None = None

    @cached_property
    def leaves(self) -> dict[str, Any]:
        """Of its config, by dotted key."""
        return config.flatten(self.cfg)


def train_overrides(*overrides: str | Sequence[str], **keys: Any) -> Run:
    """Train as `runner train OVERRIDES` would: this is `runner.train`.

    `runner.train("optimizer=adam seed=1")`, `runner.train(["optimizer=adam"])` and `runner.train(optimizer="adam")` say
    the same; a key with dots is given as `**{"optimizer.lr": 0.1}`.

    Raises:
        UserError: an override, the config or the data is wrong.
    """
    words = config.words_of(overrides, keys)
    try:
        cfg, choices = config.compose_with_choices(words)
        config.check(cfg, auto=True)
        return train(cfg, words, choices)
    except UserError as error:
        raise error from None  # in a notebook, one line and not that of Hydra's thousands


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    with_header: bool = True,
    begun: Callable[[Path], None] | None = None,
) -> Run:
    """Train as a checked config says, in a new folder.

    Args:
        with_header: say first what is trained.
        begun: is told the folder when there is one.

    Raises:
        UserError: the data, the device or a combination of choices is wrong; no folder is left behind.
        Interrupted: a signal stopped it; a checkpoint was saved.
    """
    _check_combinations(cfg)
    console = Console()
    with progress.showing_stages(cfg.log.progress, console):
        dataset = build.data(cfg)
        if why := build.settle_weights(cfg, dataset):
            note(why)
            choices = {**(choices or {}), "transfer": "none"}
        with _out_of_memory_in_a_line(cfg):
            cfg = batch_size.settled(cfg, dataset)
            cfg, found = lr.settled(cfg, dataset)
            training = build.training(cfg, dataset)
        if why := unused_gpu(cfg.engine.device, training.state.device):
            note(why)
        folder = _new_folder(cfg, overrides, choices or {}, str(training.state.device))
        if found is not None:
            folder.record["lr_range"] = found
            note(f"optimizer.lr={found['lr']:g}, found in {found['num_updates']} updates with a rising rate")
        if begun is not None:
            begun(folder.path)
        shown = dataset if with_header else None
        return _train_alone(training, Member(cfg, overrides, folder), console, shown)


def go_on(member: Member) -> Run:
    """Train on from where a run's folder stands.

    Raises:
        UserError: the data, the device or the checkpoint is wrong; nothing is changed.
        Interrupted: as `train`.
    """
    console = Console()
    with progress.showing_stages(member.cfg.log.progress, console):
        dataset = build.data(member.cfg)
        with _out_of_memory_in_a_line(member.cfg):
            training = build.training(member.cfg, dataset)
        return _train_alone(training, member, console, dataset)


def try_out(cfg: DictConfig) -> None:
    """Build all of a training, say what it is, and make one update. Writes nothing.

    Raises:
        UserError: as `train`.
    """
    _check_combinations(cfg)
    console = Console()
    with progress.showing_stages(cfg.log.progress, console):
        dataset = build.data(cfg)
        cfg = batch_size.settled(cfg, dataset)
        cfg, _ = lr.settled(cfg, dataset)
        training = build.training(cfg, dataset)
        layers = network_layers(training)
        print_header(console, training, dataset, layers)
        console.print()
        print_layers(console, layers, training.state.network)
        console.print()
        with stage("first step"):
            began = time.perf_counter()
            losses, _ = training.step(training.state, next(iter(training.train.epoch())))
            text = f"one batch forward and backward: loss {number(losses[0].item())}"
        console.print(f"{text}, {time.perf_counter() - began:.2f} s; nothing was written", highlight=False)


def _check_combinations(cfg: DictConfig) -> None:
    """Refuse choices that would do twice what is meant once, and note others that act in one place."""
    config.settle(cfg)
    config.check_combinations(cfg)
    for text in config.notes(cfg):
        note(text)


def train_member(member: Member, dataset: Data, pause_epoch: int | None = None) -> Run:
    """Train a trial in its folder, or on from where it stands, to its end or to a pause. Says nothing.

    `dataset`: that of the config.

    Raises:
        UserError, Interrupted: as `go_on`.
    """
    return _train_alone(build.training(member.cfg, dataset), member, Console(quiet=True), pause_epoch=pause_epoch)


def train_vectorized(
    members: Sequence[Member], dataset: Data, pause_epoch: int | None = None, num_threads: int = 0
) -> list[Run]:
    """The same for several trials that train together.

    Raises:
        CannotVectorize: they can only train one by one.
        OutOfMemory: fewer of them may fit.
        UserError, Interrupted: as `go_on`.
    """
    with _out_of_memory_in_a_line(members[0].cfg, len(members)):
        training = build.vectorize([member.cfg for member in members], dataset, num_threads)
    folders = [member.folder.checkpoints for member in members]
    identities = [config.fixed(member.leaves) for member in members]
    wanted = [member.wanted for member in members]
    options = _options(training, members[0])
    checkpoints = VectorizedCheckpoints(folders, training.settings, identities, wanted, **options)
    _fit(training, checkpoints, members, Console(quiet=True), pause_epoch=pause_epoch)
    return [Run(member.folder.path) for member in members]


def _train_alone(
    training: Training,
    member: Member,
    console: Console,
    shown: Data | None = None,
    pause_epoch: int | None = None,
) -> Run:
    """`shown`: the data set of the header; None for no header."""
    identity, options = config.fixed(member.leaves), _options(training, member)
    checkpoints = Checkpoints(member.folder.checkpoints, training.settings, identity, wanted=member.wanted, **options)
    figures = member.cfg.log.get("figures", False) and not member.is_trial
    training.evaluate.keeps |= figures
    _fit(training, checkpoints, [member], console, shown, pause_epoch)
    if figures:
        draw_run(member.folder, training)
    return Run(member.folder.path)


def _options(training: Training, member: Member) -> dict[str, Any]:
    """Of the checkpoints of a training."""
    return {
        "images": training.fingerprint,
        "accept_changed_images": member.accept_changed_images,
        "begin_anew": member.is_trial,
    }


def _fit(
    training: Training,
    checkpoints: Checkpoints | VectorizedCheckpoints,
    members: Sequence[Member],
    console: Console,
    shown: Data | None = None,
    pause_epoch: int | None = None,
) -> None:
    """Train from where the checkpoints stand, and note in each folder how it went."""
    state = training.state
    with Stop() as stop, ExitStack() as cleanup:
        for member in members:
            cleanup.callback(member.folder.unlock)
        cleanup.enter_context(checkpoints)
        restored = checkpoints.restore(state)
        for warning in checkpoints.warnings:
            warn(warning)
        if members[0].cfg.log.progress == "none":
            shown = None
        layers: list[LayerSummary] = []
        if shown is not None or _has_whole_log(members[0]):
            with failure_as_warning("the table of the network's layers"):
                layers = network_layers(training)
        if shown is not None:
            print_header(console, training, shown, layers, members[0].folder.path)
        if restored:
            place = f"epoch {state.epoch + 1}, batch {state.batch + 1}"
            place = place if state.batch else f"the end of epoch {state.epoch}"
            console.print(f"going on from {place}", highlight=False)
        files = []
        for trial, member in enumerate(members):
            written = None if member.is_trial else member.cfg
            member.folder.begin(member.overrides, written, training.class_names, training.image_shape)
            if training.left_out:
                replace_file(member.folder.path / UNREADABLE, training.left_out)
            files.append(MetricsFile(member.folder, training.objective, trial))
        try:
            with _out_of_memory_in_a_line(members[0].cfg, len(members)), ExitStack() as observing:
                observers: list[Any] = [*files, *_observers(observing, training, members, console, layers)]
                fit(training, observers, checkpoints, stop, members[0].cfg.log.every_steps, pause_epoch)
                checkpoints.wait()
        except BaseException as error:
            for file in files:
                _note_end(file, state, error)
            if not isinstance(error, Interrupted | KeyboardInterrupt):
                for member in members:
                    with suppress(Exception):  # the error above is the one to tell
                        _write_summary(member, "failed")
            if isinstance(error, Interrupted):
                checkpoints.wait()
                again = f"runner resume {shlex.quote(str(members[0].folder.path))}{config.trust_flag(members[0].cfg)}"
                console.print(f"interrupted at step {state.step}; go on with: {again}", highlight=False, soft_wrap=True)
            raise
        for member, file, trial_ in zip(members, files, state.trials, strict=True):
            status = "interrupted" if trial_.status == "running" else trial_.status  # a pause
            file.note(state, status=status, finished=store.now(), error=trial_.reason or None)
            _write_summary(member, status)


@contextmanager
def _out_of_memory_in_a_line(cfg: DictConfig, num_trials: int = 1) -> Iterator[None]:
    """Tell the user what to change where a device has too little memory.

    Raises:
        OutOfMemory: in place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        ways = ["lower it and raise engine.accumulate_steps by the same factor"]
        if num_trials > 1:
            ways.append("set sweep.vectorize=off")
        if cfg.engine.precision == "fp32":
            ways.append("set engine.precision=auto")
        if cfg.data.get("loading") != "workers":
            ways.append("set data.loading=workers")
        raise OutOfMemory(f"data.batch_size={cfg.data.batch_size}: out of GPU memory; {', or '.join(ways)}") from error


def _new_folder(cfg: DictConfig, overrides: Sequence[str], choices: Mapping[str, str], device: str) -> RunFolder:
    name = cfg.name or "-".join(choices.get(group, "run") for group in ("data", "model"))
    path = store.make_folder(Path(cfg.output_dir), name, config.said(overrides, cfg, choices))
    return RunFolder.create(path, name, overrides, choices, store.environment(device))


def _observers(
    cleanup: ExitStack,
    training: Training,
    members: Sequence[Member],
    console: Console,
    layers: Sequence[LayerSummary],
) -> Iterator[Any]:
    """The observers that the configs ask for; `cleanup` closes them. The display follows one trial alone."""
    log = build.log(members[0].cfg)
    for trial, member in enumerate(members):
        if log.doctor and not member.is_trial:
            yield Doctor(member.folder, training, speaks=log.progress != "none" and not console.quiet, trial=trial)
        if not (member.cfg.log.observers or _has_whole_log(member)):
            continue
        path, record = member.folder.path, member.folder.record
        shown = hparams(member.leaves, record)
        observers = build.observers(member.cfg, path, shown, trial)
        if _has_whole_log(member):
            texts = describe_run(record, member.folder.read_json(store.ENVIRONMENT))
            if layers:
                texts["run/network"] = describe_network(layers, training.state.of(trial).network)
            observers.append(TensorBoard(path, log, training, Subject(shown, texts, member.folder.metrics), trial))
        for observer in observers:
            if hasattr(observer, "__exit__"):
                cleanup.push(observer)
            yield observer
    if len(members) == 1 and not console.quiet:
        epochs, batches = training.settings.epochs, training.train.num_batches
        display = progress.make(log.progress, console, epochs, batches, training.objective)
        if display:
            cleanup.callback(display.close)
            yield display


def _has_whole_log(member: Member) -> bool:
    """Whether TensorBoard is to show all of a run."""
    return bool(member.cfg.log.tensorboard) and member.tensorboard == "all"


def _write_summary(member: Member, status: str) -> None:
    """Write a trial's small event file, where TensorBoard is to show no more of it."""
    if member.tensorboard == "summary" and member.cfg.log.tensorboard:
        shown = hparams(member.leaves, member.folder.record, numbers_as_text=False)
        write_trial_events(member.folder.path, shown, member.folder.metrics, status)


def _note_end(files: MetricsFile, state: Any, error: BaseException) -> None:
    """Write down how a run ended that did not end well."""
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    if isinstance(error, UserError):
        text: str | None = str(error)
    else:
        text = None if stopped else "".join(traceback.format_exception(error))
    files.note(state, status="interrupted" if stopped else "failed", finished=store.now(), error=text)
