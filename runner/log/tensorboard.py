"""TensorBoard: scalars, histograms, a grid of training images and the hyperparameters, in the run's own event file.

Everything is written by a thread of its own, from copies; training does not wait for it.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runner.engine.observer import Record
from runner.engine.state import TrainState
from runner.log import event_files
from runner.log.settings import LogSettings
from runner.log.tags import layer_names, tag_of
from runner.log.throttle import Throttle

IMAGES = "train/images"
BATCH_LOSS = "train/batch_loss"
HISTOGRAM_BINS = 60
HISTOGRAMS_SHARE = 0.01  # of the time of a run


class TensorBoard:
    """An observer that writes `events.out.tfevents.*` into the run's folder.

    Args:
        hparams: flat hyperparameters for the HParams tab: numbers, text or booleans.
        sample: augmented training images [N, C, H, W] in [0, 1], or None.
        past: the records of the epochs that were trained before, where a run goes on.
        trial: whose run it is, where several train together.
    """

    def __init__(
        self,
        folder: Path,
        settings: LogSettings,
        hparams: Mapping[str, Any],
        sample: Tensor | None,
        past: Sequence[Mapping[str, Any]] = (),
        trial: int = 0,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.hparams = hparams
        # Drawn here: torch's operations in another thread would give that one threads of its own, and those of the
        # training would no longer have a core each.
        self.grid = None if sample is None or not len(sample) else grid(sample)
        self.past = past
        self.trial = trial
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="tensorboard")
        self.throttle = Throttle(HISTOGRAMS_SHARE)
        self.state: TrainState | None = None
        self.left_out: TrainState | None = None  # a state whose histograms were not due
        self.writer: Any = None
        self.best: float | None = None  # validation accuracy so far
        self.failure: Exception | None = None  # of the first write that failed

    def started(self, state: TrainState) -> None:
        self.state = state
        self._later(self._open, state.step, state.epoch)

    def reported(self, state: TrainState, losses: list[float]) -> None:
        if self.trial in state.present:
            self._later(self._scalars, {BATCH_LOSS: losses[self.trial]}, state.step)

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial not in state.present:
            return
        self._later(self._epoch, {**records[self.trial]}, state.step)
        if self.settings.histograms is True or (self.settings.histograms == "auto" and self.throttle.due):
            self._queue_histograms(state)
        elif self.settings.histograms:
            self.left_out = state

    def exit(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Write what is left, and how the run ended; see `contextlib.ExitStack.push`."""
        if self.left_out is not None and self.failure is None:
            self._queue_histograms(self.left_out)
        status: str = self.state.trials[self.trial].status if self.state else "running"
        self.thread.submit(self._write, self._close, "failed" if isinstance(error, Exception) else status)
        self.thread.shutdown()
        if self.failure is not None and error is None:
            raise self.failure

    def _queue_histograms(self, state: TrainState) -> None:
        """Have histograms of weights and gradients written."""
        self.left_out = None
        self.throttle.queued()
        tensors: dict[str, Tensor] = {}
        network = state.of(self.trial).network
        shown = layer_names(network)
        for name, parameter in network.named_parameters():
            tensors[f"weights/{shown[name]}"] = parameter
            if parameter.grad is not None:
                tensors[f"weights_gradients/{shown[name]}"] = parameter.grad
        copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        self._later(self._histograms, copies, state.step)

    def _later(self, work: Any, *args: Any) -> None:
        """Have something written. A failure of an earlier write surfaces here, or at the exit."""
        if self.failure is not None:
            raise self.failure
        self.thread.submit(self._write, work, *args)

    def _write(self, work: Any, *args: Any) -> None:
        try:
            if self.failure is None:
                work(*args)
        except Exception as error:
            self.failure = error

    def _open(self, step: int, epoch: int) -> None:
        """Go on after that step and epoch. What a killed run had no time to write is written now."""
        past = [record for record in self.past if record["epoch"] <= epoch and "step" in record]
        # Of an epoch's last step there may be a checkpoint from before the epoch's end, whose figures are yet to come.
        is_end = step == 0 or (past and past[-1]["step"] == step)
        written = event_files.rewind(self.folder, step, None if is_end else {BATCH_LOSS})
        self.writer = event_files.open_writer(self.folder)
        if (event_files.SESSION_START, 0) not in written:
            event_files.write_session_start(self.writer, self.hparams)
        if self.grid is not None and (IMAGES, 0) not in written:
            self.writer.add_image(IMAGES, self.grid, 0)
        for record in past:
            self._epoch(record, record["step"], written)
        self.writer.flush()

    def _close(self, status: str) -> None:
        """Note how the run ended."""
        if self.writer is not None:
            event_files.write_session_end(self.writer, status)
            self.writer.close()

    def _epoch(self, record: Mapping[str, float | None], step: int, written: event_files.Written = frozenset()) -> None:
        """Write the metrics of an epoch, but those that are written; the axis is the step."""
        tags = {tag_of(name): value for name, value in record.items() if name not in ("epoch", "step")}
        accuracy = record.get("val/accuracy")
        if accuracy is not None:
            self.best = accuracy if self.best is None else max(self.best, accuracy)
        if self.best is not None:
            tags["accuracy/best"] = self.best
        self._scalars({tag: value for tag, value in tags.items() if (tag, step) not in written}, step)

    def _scalars(self, values: Mapping[str, float | None], step: int) -> None:
        for tag, value in values.items():
            self.writer.add_scalar(tag, math.nan if value is None else value, step)
        self.writer.flush()

    def _histograms(self, copies: Mapping[str, Tensor], step: int) -> None:
        with self.throttle.done():
            for name, values in copies.items():
                array = values.float().flatten().numpy()
                if not np.isfinite(array).all():
                    continue
                # Equal bins: add_histogram's own take a millisecond for each of many small layers.
                counts, limits = np.histogram(array, bins=HISTOGRAM_BINS)
                self.writer.add_histogram_raw(
                    name,
                    min=float(array.min()),
                    max=float(array.max()),
                    num=array.size,
                    sum=float(array.sum(dtype=np.float64)),
                    sum_squares=float(np.square(array, dtype=np.float64).sum()),
                    bucket_limits=limits[1:].tolist(),
                    bucket_counts=counts.tolist(),
                    global_step=step,
                )


def grid(images: Tensor, columns: int = 8, side: int = 96) -> Tensor:
    """Images [N, C, H, W] in [0, 1] as one picture, each enlarged to about `side` pixels."""
    scale = max(1, side // images.shape[-1])
    images = images.cpu().repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    N, C, H, W = images.shape
    rows = -(-N // columns)
    padded = torch.ones(rows * columns, C, H + 4, W + 4)
    padded[:N, :, 2:-2, 2:-2] = images
    return padded.reshape(rows, columns, C, H + 4, W + 4).permute(2, 0, 3, 1, 4).reshape(C, rows * (H + 4), -1)
