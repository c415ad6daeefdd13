"""State to file and back: nothing is half written, nothing unsafe is read, a damaged file is noticed.

A folder holds `last.pt`, the one before it (`previous.pt`), `best.pt`, snapshots `epoch-0010.pt` if asked for, and
`manifest.json` with a checksum for each. Files are serialized and written by a thread of their own.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from runner.data.fingerprint import Fingerprint, what_changed
from runner.engine.checkpoint_files import (
    BEST,
    FORMAT,
    LAST,
    PREVIOUS,
    holds_weights_only,
    mend_manifest,
    read,
    read_manifest,
    remove,
    weights_only,
    write,
)
from runner.engine.settings import Settings
from runner.engine.state import TrainState, Trial
from runner.errors import UserError
from runner.throttle import Throttle

SHARE = 0.02  # of the time, for checkpoints that are saved as often as that allows
Wanted = Callable[[float | None], bool]  # whether the state at the end is, by the objective's best value


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
        images: what tells the images from others, by aspect; kept likewise.
        accept_changed_images: go on with other images than those before.
        begin_anew: where every file is damaged, begin anew instead of refusing.
        writer: the thread that writes; its own where none is given.
        num_trials: that share the time for checkpoints.
        wanted: whether the state at the end is to be saved; None: it is. A trial that is killed after its training and
            before its end is noted trains again from the checkpoint before, to the same bits.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        identity: Mapping[str, Any],
        images: Fingerprint | None = None,
        accept_changed_images: bool = False,
        begin_anew: bool = False,
        writer: ThreadPoolExecutor | None = None,
        num_trials: int = 1,
        wanted: Wanted | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.identity = dict(identity)
        self.images = images or {}
        self.accept_changed_images = accept_changed_images
        self.begin_anew = begin_anew
        self.wanted = wanted
        self.warnings: list[str] = []
        self._writer = writer or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        seconds = settings.checkpoint_every_seconds
        if seconds == "auto":
            self._throttle = Throttle(SHARE / num_trials)
        else:
            self._throttle = Throttle(math.inf, seconds)
            self._throttle.free_at = time.monotonic() + seconds
        self._best: dict[str, Any] | None = None  # that is not on the disk yet

    def due_at_step(self, step: int) -> bool:
        every = self.settings.checkpoint_every_steps
        return every > 0 and step % every == 0

    def epoch_ended(self, state: TrainState, is_last: bool) -> None:
        """Save what this epoch's end asks for, where it is wanted. `is_last`: no epoch follows for now."""
        if self.wants(state.trials[0], is_last):
            self.save_epoch(state, is_last)

    def wants(self, trial: Trial, is_last: bool) -> bool:
        """Whether the state of a trial is to be saved at an epoch's end, if one is due."""
        return not is_last or self.wanted is None or self.wanted(trial.best_value)

    def save_epoch(self, state: TrainState, is_last: bool) -> None:
        """Save what an epoch's end asks for: last, best, a snapshot."""
        names = []
        if is_last or state.epoch % self.settings.checkpoint_every_epochs == 0:
            names.append(LAST)
        if any(trial.best_epoch == state.epoch for trial in state.trials):
            names.append(BEST)
        every = self.settings.snapshot_every_epochs
        if every and state.epoch % every == 0:
            names.append(f"epoch-{state.epoch:04d}.pt")
        elif not is_last and not self._throttle.due:
            if BEST in names:
                self._best = self._content(state)
            return
        if names:
            self.save(state, names)

    def save(self, state: TrainState, names: list[str] | None = None) -> None:
        """Copy the state and hand it to the writer; waits only for the write before this one."""
        self.wait()
        began = time.monotonic()
        names = names or [LAST]
        writes = [(self._content(state), names)]
        if self._best and BEST not in names:
            writes.insert(0, (self._best, [BEST]))
        self._best = None
        self._throttle.queued()
        self._pending = self._writer.submit(self._write, writes, time.monotonic() - began)

    def trim(self, state: TrainState) -> None:
        """Leave the checkpoints that `engine.keep` says, of a training that has ended well."""
        if self.settings.keep != "all" and state.trials[0].status == "finished":
            self.wait()
            self._pending = self._writer.submit(self._trim)

    def _content(self, state: TrainState) -> dict[str, Any]:
        about = {"format": FORMAT, "identity": self.identity, "images": self.images}
        return {**about, "state": _host_copy(state.state_dict())}

    def wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def restore(self, state: TrainState) -> bool:
        """Load the newest undamaged state, if any, and hold the best checkpoint to it. `warnings` says what was wrong.

        Raises:
            UserError: it belongs to another config, or every file is damaged.
        """
        found, damaged = self._read(LAST, BEST)
        if LAST not in found:
            earlier, more = self._read(PREVIOUS)
            found, damaged = earlier | found, damaged + more
        if not found:
            if damaged and not self.begin_anew:
                raise UserError(f"{damaged[0]}; no undamaged checkpoint is left in {self.folder}")
            self.warnings = [f"{one}; the training begins anew" for one in damaged[:1]]
            return False
        for content in found.values():
            self._check_identity(content["identity"])
        whole = [name for name, content in found.items() if not holds_weights_only(content)]
        if not whole and not self.begin_anew:
            raise UserError(
                f"{damaged[0] if damaged else self.folder}: what is left there has weights only, no state to train on "
                f"from; start a new run with transfer.source={self.folder.parent}"
            )
        if not whole:
            self.warnings = [f"{self.folder}: only weights are left there; the training begins anew"]
            return False
        # The best is newer than the last where a crash came between the two.
        newest = max(whole, key=lambda name: _epoch_and_step(found[name]))
        self._check_images(found[newest].get("images") or {})
        state.load_state_dict(found[newest]["state"])
        mend_manifest(self.folder)
        if newest != LAST:  # the run may have nothing left to train, and nothing to save
            if LAST not in found:
                (self.folder / LAST).unlink(missing_ok=True)  # else it would take the place of the one before it
            write(self.folder, found[newest], [LAST])
        if damaged:
            place = f"{self.folder / newest} (epoch {state.epoch}, step {state.step})"
            self.warnings = [*damaged, f"went on from {place}"]
        self._hold_best(state.trials[0], found)
        return True

    def _read(self, *names: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """The contents of those files that are there and undamaged, and what is wrong with the others."""
        found, damaged = {}, []
        for name in names:
            if (self.folder / name).exists():
                try:
                    found[name] = read(self.folder / name)
                except UserError as error:
                    damaged.append(str(error))
        return found, damaged

    def _hold_best(self, trial: Trial, found: Mapping[str, dict[str, Any]]) -> None:
        """See that the best checkpoint is of the best epoch; where no file is, the best is sought anew."""
        if trial.best_epoch is None or _is_end_of(found.get(BEST), trial.best_epoch):
            return
        others = sorted(path.name for path in self.folder.glob("*.pt") if path.name not in found and path.name != BEST)
        contents = (found.get(name) or self._read(name)[0].get(name) for name in [*found, *others])
        content = next((content for content in contents if _is_end_of(content, trial.best_epoch)), None)
        wrong = f"{self.folder / BEST} does not hold the best epoch, {trial.best_epoch}"
        if content is not None:
            write(self.folder, content, [BEST])
            self.warnings.append(f"{wrong}; it was written again from another checkpoint of that epoch")
        else:
            trial.best_value = trial.best_epoch = trial.best_loss = None
            self.warnings.append(f"{wrong}, and nothing else does; the best is now sought among the epochs to come")

    def _check_identity(self, stored: Mapping[str, Any]) -> None:
        for key in sorted({*stored, *self.identity}):
            before, now = stored.get(key), self.identity.get(key)
            if before != now:
                raise UserError(
                    f"{key}: the checkpoint was made with {before!r}, the config says {now!r}; put it back, or start "
                    "a new run with runner train"
                )

    def _check_images(self, stored: Mapping[str, Any]) -> None:
        changed = what_changed(stored, self.images)
        if changed and not self.accept_changed_images:
            raise UserError(f"data: {changed} since the run was saved; put it back, or pass --accept-changed-data")

    def _write(self, writes: Sequence[tuple[dict[str, Any], list[str]]], seconds_before: float) -> None:
        with self._throttle.done(seconds_before):
            for content, names in writes:
                write(self.folder, content, names)

    def _trim(self) -> None:
        files = read_manifest(self.folder)["files"]
        kept = BEST if BEST in files else LAST
        without_state = kept == BEST or self.settings.keep == "weights"
        if without_state and not files.get(kept, {}).get("weights_only"):
            content = self._read(kept)[0].get(kept)
            if content is None:  # damaged: the others are all that is left
                return
            write(self.folder, weights_only(content), [kept])
        remove(self.folder, [PREVIOUS, LAST] if self.settings.keep == "weights" and kept == BEST else [PREVIOUS])


def _epoch_and_step(content: Mapping[str, Any]) -> tuple[int, int]:
    position = content["state"]["position"]
    return position["epoch"], position["step"]


def _is_end_of(content: Mapping[str, Any] | None, epoch: int) -> bool:
    """Whether a checkpoint holds the weights at the end of that epoch."""
    position = content["state"]["position"] if content else {}
    return (position.get("epoch"), position.get("batch")) == (epoch, 0)


def _host_copy(value: Any) -> Any:
    """The same nested data with every tensor copied to the CPU, so that training may go on."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _host_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_host_copy(item) for item in value]
    return value
