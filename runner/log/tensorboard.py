"""TensorBoard: scalars, histograms, a grid of training images and the hyper-parameters, in the run's own event file.

Everything is written by a thread of its own, from copies; training does not wait for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runner.engine.loop import Record
from runner.engine.state import TrainState
from runner.log.settings import LogSettings
from runner.log.throttle import Sparing

PICTURE = "train/images"
HPARAMS = "_hparams_/session_start_info"
ENDS = {"finished": "STATUS_SUCCESS", "diverged": "STATUS_FAILURE"}
HPARAMS_END, HPARAMS_VERSION = "_hparams_/session_end_info", 0
HISTOGRAM_BINS = 60
HISTOGRAMS_SHARE = 0.01  # of the time of a run


class TensorBoard:
    """An observer that writes `events.out.tfevents.*` into the run's folder.

    Args:
        hparams: flat hyper-parameters for the HParams tab: numbers, text or booleans.
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
        self.picture = None if sample is None or not len(sample) else grid(sample)
        self.past = past
        self.trial = trial
        self.lines = ThreadPoolExecutor(1, thread_name_prefix="tensorboard")
        self.sparing = Sparing(HISTOGRAMS_SHARE)
        self.state: TrainState | None = None
        self.left_out: TrainState | None = None  # a state whose histograms were not due
        self.writer: Any = None

    def started(self, state: TrainState) -> None:
        self.state = state
        self._later(self._open, state.step)

    def reported(self, state: TrainState, losses: list[float]) -> None:
        if self.trial not in state.present:
            return
        self._later(self._scalars, {"train/batch_loss": losses[self.trial]}, state.step)

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial not in state.present:
            return
        self._later(self._scalars, {**records[self.trial]}, state.step)
        if self.settings.histograms is True or (self.settings.histograms == "auto" and self.sparing.due):
            self._queue_histograms(state)
        elif self.settings.histograms:
            self.left_out = state

    def close(self) -> None:
        if self.left_out is not None:
            self._queue_histograms(self.left_out)
        closing = self.lines.submit(self._close, self.state.trials[self.trial].status if self.state else "running")
        self.lines.shutdown()
        closing.result()

    def _queue_histograms(self, state: TrainState) -> None:
        """Have histograms of weights and gradients written."""
        self.left_out = None
        self.sparing.queued()
        copies: list[tuple[str, Tensor]] = []
        for name, parameter in state.of(self.trial).network.named_parameters():
            copies.append((f"weights/{name}", _host(parameter)))
            if parameter.grad is not None:
                copies.append((f"gradients/{name}", _host(parameter.grad)))
        self._later(self._histograms, copies, state.step)

    def _later(self, work: Any, *args: Any) -> None:
        future = self.lines.submit(work, *args)
        if future.done():
            future.result()  # a failure of an earlier write surfaces here or at the close

    def _open(self, step: int) -> None:
        """Go on after `step`. What a killed run had no time to write is written now."""
        from torch.utils.tensorboard.summary import hparams as hparams_summary
        from torch.utils.tensorboard.writer import SummaryWriter

        written = keep_events(self.folder, step)
        self.writer = SummaryWriter(str(self.folder))
        if (HPARAMS, 0) not in written:
            metrics = dict.fromkeys(("val/accuracy", "val/loss", "train/accuracy", "train/loss"), 0.0)
            # Without the first summary, which lists keys: TensorBoard would take that of one run for all, and show no
            # column for a key that this run lacks. It finds keys and metrics in the runs themselves instead.
            _, start, _ = hparams_summary(dict(self.hparams), metrics)
            self.writer.file_writer.add_summary(start)
        if self.picture is not None and (PICTURE, 0) not in written:
            self.writer.add_image(PICTURE, self.picture, 0)
        for record in self.past:
            if record["step"] <= step:
                lost = {name: value for name, value in record.items() if (name, record["step"]) not in written}
                self._scalars(lost, record["step"])
        self.writer.flush()

    def _close(self, status: str) -> None:
        """Note how the run ended, for the HParams tab; one that did not end is shown as running."""
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
        from torch.utils.tensorboard.summary import hparams as hparams_summary

        if self.writer is None:
            return
        if status in ENDS:
            *_, end = hparams_summary({}, {})
            info = plugin_data_pb2.SessionEndInfo(status=getattr(api_pb2, ENDS[status]), end_time_secs=time.time())
            data = plugin_data_pb2.HParamsPluginData(session_end_info=info, version=HPARAMS_VERSION)
            end.value[0].metadata.plugin_data.content = data.SerializeToString()
            self.writer.file_writer.add_summary(end)
        self.writer.close()

    def _scalars(self, record: Mapping[str, float | None], step: int) -> None:
        for name, value in record.items():
            if name not in ("epoch", "step"):  # the axis is the step
                self.writer.add_scalar(name, math.nan if value is None else value, step)
        self.writer.flush()

    def _histograms(self, copies: list[tuple[str, Tensor]], step: int) -> None:
        with self.sparing.done():
            for name, values in copies:
                self._histogram(name, values, step)

    def _histogram(self, name: str, values: Tensor, step: int) -> None:
        """As add_histogram, but with equal bins: its own take a millisecond for each of many small layers."""
        array = values.float().flatten().numpy()
        if not np.isfinite(array).all():
            return
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


def keep_events(folder: Path, last_step: int) -> set[tuple[str, int]]:
    """Rewrite the run's event files as one without what comes after `last_step`, so that a resumed curve has no
    doubled steps in any reader. A record cut short by a crash goes too.

    Returns:
        Tag and step of all that is kept.
    """
    written: set[tuple[str, int]] = set()
    paths = sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.name)
    if not paths:
        return written
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    target = paths[-1].with_name(paths[-1].name + ".0")
    temporary = folder / ".events.tmp"
    with temporary.open("wb") as file:
        writer = RecordWriter(file)
        for path in paths:
            for data in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(data)
                values = {(value.tag, event.step) for value in event.summary.value}
                # Doubled where an earlier rewriting was cut short; and an end is none where the run goes on.
                if event.step <= last_step and not (values and values <= written | {(HPARAMS_END, 0)}):
                    writer.write(data)
                    written |= values
        writer.flush()
    temporary.replace(target)
    for path in paths:
        path.unlink()
    return written


def _host(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
