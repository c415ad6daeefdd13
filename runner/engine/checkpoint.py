"""State to file and back: nothing is half written, nothing unsafe is read, a damaged file is noticed.

A folder holds `last.pt`, the one before it (`previous.pt`), `best.pt`, snapshots `epoch-0010.pt` if asked for, and
`manifest.json` with a checksum for each. Files are serialized and written by a thread of their own.
"""

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from runner.engine.checkpoint_files import (
    BEST,
    FORMAT,
    LAST,
    MANIFEST,
    PREVIOUS,
    read,
    read_manifest,
    sync_folder,
    write_synced,
)
from runner.engine.settings import Settings
from runner.engine.state import TrainState
from runner.errors import UserError


class AsyncWriter:
    """What a thread of its own writes: all of it is on the disk when the `with` ends."""

    _writer: ThreadPoolExecutor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def wait(self) -> None:
        """Return once the latest save is on the disk; raises what its write raised."""
        raise NotImplementedError


class Checkpoints(AsyncWriter):
    """Saves a run's state and finds it again.

    Args:
        identity: what must be the same when the run goes on, by config key; kept in every file.
        writer: the thread that writes; its own where none is given.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        identity: Mapping[str, Any],
        writer: ThreadPoolExecutor | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.identity = dict(identity)
        self.warnings: list[str] = []
        self._writer = writer or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._saved = time.monotonic()
        self._best: tuple[dict[str, Any], dict[str, int]] | None = None  # that is not on the disk yet

    def due_at_step(self, step: int) -> bool:
        every = self.settings.checkpoint_every_steps
        return every > 0 and step % every == 0

    def epoch_ended(self, state: TrainState, is_last: bool) -> None:
        """Save what this epoch's end asks for: last, best, a snapshot. `is_last`: no epoch follows for now."""
        names = []
        if is_last or state.epoch % self.settings.checkpoint_every_epochs == 0:
            names.append(LAST)
        if any(trial.best_epoch == state.epoch for trial in state.trials):
            names.append(BEST)
        every = self.settings.snapshot_every_epochs
        if every and state.epoch % every == 0:
            names.append(f"epoch-{state.epoch:04d}.pt")
        elif not is_last and time.monotonic() - self._saved < self.settings.checkpoint_every_seconds:
            if BEST in names:
                self._best = self._content(state)
            return
        if names:
            self.save(state, names)

    def save(self, state: TrainState, names: list[str] | None = None) -> None:
        """Copy the state and hand it to the writer; waits only for the write before this one."""
        self.wait()
        names = names or [LAST]
        writes = [(*self._content(state), names)]
        if self._best and BEST not in names:
            writes.insert(0, (*self._best, [BEST]))
        self._best, self._saved = None, time.monotonic()
        self._pending = self._writer.submit(self._write_all, writes)

    def _content(self, state: TrainState) -> tuple[dict[str, Any], dict[str, int]]:
        """What a file holds, and what the manifest says of it."""
        content = {"format": FORMAT, "identity": self.identity, "state": _host_copy(state.state_dict())}
        return content, {"epoch": state.epoch, "step": state.step}

    def wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def restore(self, state: TrainState) -> bool:
        """Load the newest undamaged state, if any; damaged files are named in `warnings`.

        Raises:
            UserError: it belongs to another config, or every file is damaged.
        """
        tried = []
        for name in (LAST, PREVIOUS, BEST):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                content = read(path)
            except UserError as error:
                tried.append(str(error))
                continue
            self._check_identity(content["identity"])
            state.load_state_dict(content["state"])
            if tried:
                self.warnings = [*tried, f"went on from {path} instead (epoch {state.epoch}, step {state.step})"]
            return True
        if tried:
            raise UserError(f"{tried[0]}; no undamaged checkpoint is left in {self.folder}")
        return False

    def _check_identity(self, stored: Mapping[str, Any]) -> None:
        for key in sorted({*stored, *self.identity}):
            before, now = stored.get(key), self.identity.get(key)
            if before != now:
                raise UserError(
                    f"{key}: the checkpoint was made with {before!r}, the config says {now!r}; put it back, or start "
                    "a new run with runner train"
                )

    def _write_all(self, writes: Sequence[tuple[dict[str, Any], dict[str, int], list[str]]]) -> None:
        for content, about, names in writes:
            self._write(content, names, about)

    def _write(self, content: dict[str, Any], names: list[str], about: dict[str, int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getbuffer()
        entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **about}
        for name in names:
            write_synced(self.folder / f"{name}.tmp", data)
        # The manifest comes before the renames and keeps what it replaces, so it is right at every moment between.
        manifest = read_manifest(self.folder)
        files = dict(manifest["files"])
        if LAST in names and LAST in files:
            files[PREVIOUS] = files[LAST]
        files |= dict.fromkeys(names, entry)
        text = json.dumps({"format": FORMAT, "files": files, "replaced": manifest["files"]}, indent=1)
        write_synced(self.folder / f"{MANIFEST}.tmp", text.encode())
        (self.folder / f"{MANIFEST}.tmp").replace(self.folder / MANIFEST)
        if LAST in names and (self.folder / LAST).exists():
            (self.folder / LAST).replace(self.folder / PREVIOUS)
        for name in names:
            (self.folder / f"{name}.tmp").replace(self.folder / name)
        sync_folder(self.folder)


def _host_copy(value: Any) -> Any:
    """The same nested data with every tensor copied to the CPU, so that training may go on."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _host_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_host_copy(item) for item in value]
    return value
