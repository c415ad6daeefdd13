"""TensorBoard: scalars, histograms, pictures, texts and the hyperparameters, in the run's own event file.

Everything is written by a thread of its own, from copies; training does not wait for it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.engine.loop import Training
from runner.engine.metrics import count_confusions, surest_mistakes
from runner.engine.observer import Record, how_it_ended
from runner.engine.state import TrainState
from runner.log import event_files, tags, texts
from runner.log.settings import LogSettings
from runner.model.summary import parameter_names
from runner.pictures import as_bytes
from runner.plot.confusion import draw_confusion_matrix
from runner.plot.pictures import draw_images
from runner.throttle import Throttle
from runner.warnings import warn

HISTOGRAM_BINS = 60
SHARE = 0.01  # of the time of a run, for histograms, and for pictures
HISTOGRAM_SECONDS, PICTURE_SECONDS = 0.01, 0.3  # about what they take; matplotlib's import is most of the latter
MOST_CURVES = 10  # classes, up to which each has its curve of precision and recall
TEXT = "/text_summary"  # which a text's tag is given at its end


@dataclass
class Subject:
    """What TensorBoard shows of a run beside what is measured.

    Args:
        hparams: flat hyperparameters for the HParams tab: numbers, text or booleans.
        texts: Markdown for the Text tab, by tag.
        past: the records of the epochs that were trained before, where a run goes on.
    """

    hparams: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    past: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class _Pictures:
    """Of the validation split, at a step.

    Args:
        counts: [K][K], true class and predicted.
        mistakes: n images [n, H, W, C], with n captions.
        labels: of the N images.
        probabilities: [N, K].
    """

    step: int
    title: str
    counts: list[list[int]]
    mistakes: NDArray[np.uint8]
    captions: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


class TensorBoard:
    """An observer that writes `events.out.tfevents.*` into the run's folder.

    Args:
        trial: whose run it is, where several train together.
    """

    def __init__(
        self, folder: Path, settings: LogSettings, training: Training, subject: Subject, trial: int = 0
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.training = training
        self.subject = subject
        self.trial = trial
        training.evaluate.keeps |= settings.num_images > 0
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="tensorboard")
        self.histograms = Throttle(SHARE, first=HISTOGRAM_SECONDS)
        self.pictures = Throttle(SHARE, first=PICTURE_SECONDS)
        self.sample: tuple[NDArray[np.uint8], list[str]] | None = None  # that is still to be drawn
        self.state: TrainState | None = None
        self.without_histograms: TrainState | None = None  # a state whose histograms were not due
        self.without_pictures: TrainState | None = None
        self.writer: Any = None
        self.best: float | None = None  # validation accuracy so far
        self.failure: Exception | None = None  # of the first write that failed
        self.has_sample = False  # written by an earlier process

    def started(self, state: TrainState) -> None:
        # torch's operations in another thread would give that one threads of its own, and those of the training would
        # no longer have a core each: what is written of tensors is worked out here.
        self.state = state
        self.sample = self._sample() if self.settings.num_images and state.step == 0 else None
        self._later(self._open, state.step, state.epoch)

    def reported(self, state: TrainState, losses: list[float]) -> None:
        if self.trial not in state.present:
            return
        gradients = [p.grad for p in state.of(self.trial).network.parameters() if p.grad is not None]
        values = {tags.BATCH_LOSS: losses[self.trial]}
        if gradients:
            values[tags.GRADIENT_NORM] = torch.nn.utils.get_total_norm(gradients).item()
        self._later(self._scalars, values, state.step)
        if self.pictures.due:
            self._queue_sample()

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial not in state.present:
            return
        self._later(self._epoch, {**records[self.trial]}, state.step)
        if self.settings.histograms is True or (self.settings.histograms == "auto" and self.histograms.due):
            self._queue_histograms(state)
        elif self.settings.histograms:
            self.without_histograms = state
        if self.settings.num_images and "val/accuracy" in records[self.trial]:
            if self.pictures.due:
                self._queue_sample()
                self._queue_pictures(state)
            else:
                self.without_pictures = state

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Write what is left, and how the run ended."""
        if self.failure is None:
            if self.without_histograms is not None:
                self._queue_histograms(self.without_histograms)
            self._queue_sample()
            if self.without_pictures is not None:
                self._queue_pictures(self.without_pictures)
        status, reason = how_it_ended(self.state, self.trial, error)
        self.thread.submit(self._write, self._close, status, reason)
        self.thread.shutdown()
        if self.failure is not None and error is None:
            raise self.failure

    # -----------------------------------------------------------------------------------------------------------------
    # In the thread of the training: tensors are made arrays

    def _sample(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Augmented training images and their classes."""
        images, labels = self.training.train.of(self.trial).pictures(self.settings.num_images)
        return as_bytes(images), [self.training.class_names[label] for label in labels.tolist()]

    def _queue_sample(self) -> None:
        """Have the augmented training images written, once."""
        if self.sample is not None:
            self._later(self._write_sample, *self.sample)
            self.sample = None

    def _queue_histograms(self, state: TrainState) -> None:
        """Have histograms of weights and gradients written."""
        self.without_histograms = None
        self.histograms.queued()
        tensors: dict[str, Tensor] = {}
        network = state.of(self.trial).network
        shown = parameter_names(network)
        for name, parameter in network.named_parameters():
            tensors[f"weights/{shown[name]}"] = parameter
            if parameter.grad is not None:
                tensors[f"weights_gradients/{shown[name]}"] = parameter.grad
        copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        self._later(self._write_histograms, copies, state.step)

    def _queue_pictures(self, state: TrainState) -> None:
        """Have the confusion matrix, the surest mistakes and the curves of precision and recall written."""
        self.without_pictures = None
        found = self.training.evaluate.predictions(self.trial)
        if found is None:
            return
        self.pictures.queued()
        began = time.monotonic()
        scores, labels = found
        names = self.training.class_names
        probabilities = scores.float().softmax(1)
        sureness, predicted = probabilities.max(1)
        surest = surest_mistakes(probabilities, labels, self.settings.num_images)
        images = self.training.evaluate.batches.originals(surest) if len(surest) else torch.zeros(0, 1, 1, 1)
        captions = [
            f"{names[true]}?\n{names[said]} {sure:.0%}"
            for true, said, sure in zip(*(of[surest].tolist() for of in (labels, predicted, sureness)), strict=True)
        ]
        pictures = _Pictures(
            state.step,
            f"Confusion matrix (validation split, epoch {state.epoch})",
            count_confusions(predicted, labels, len(names)).tolist(),
            as_bytes(images),
            captions,
            labels.cpu().numpy(),
            probabilities.cpu().numpy(),
        )
        self._later(self._write_pictures, pictures, time.monotonic() - began)

    def _later(self, work: Callable[..., None], *args: Any) -> None:
        """Have something written. A failure of an earlier write surfaces here, or at the exit."""
        if self.failure is not None:
            raise self.failure
        self.thread.submit(self._write, work, *args)

    # -----------------------------------------------------------------------------------------------------------------
    # In the thread that writes

    def _write(self, work: Callable[..., None], *args: Any) -> None:
        try:
            if self.failure is None:
                work(*args)
        except Exception as error:
            self.failure = error

    def _open(self, step: int, epoch: int) -> None:
        """Go on after that step and epoch. What a killed run had no time to write is written now."""
        past = [record for record in self.subject.past if record["epoch"] <= epoch and "step" in record]
        # Of an epoch's last step there may be a checkpoint from before the epoch's end, whose figures are yet to come.
        is_end = step == 0 or (past and past[-1]["step"] == step)
        last_tags = None if is_end else {tags.BATCH_LOSS, tags.GRADIENT_NORM}
        written = event_files.rewind(self.folder, step, last_tags, ends={tags.END + TEXT})
        self.writer = event_files.EventWriter(self.folder)
        if (event_files.SESSION_START, 0) not in written:
            self.writer.add_session_start(self.subject.hparams)
            self.writer.add_charts(tags.CHARTS)
        for tag, text in self.subject.texts.items():
            if (tag + TEXT, 0) not in written:
                self.writer.add_text(tag, text)
        self.has_sample = (tags.SAMPLES, 0) in written
        for record in past:
            self._epoch(record, record["step"], written)
        self.writer.flush()

    def _close(self, status: str, reason: str) -> None:
        """Note how the run ended."""
        if self.writer is not None:
            step = self.state.step if self.state else 0
            self.writer.add_text(tags.END, texts.describe_end(status, reason), step)
            self.writer.add_session_end(status)
            self.writer.close()

    def _epoch(self, record: Mapping[str, float | None], step: int, written: event_files.Written = frozenset()) -> None:
        """Write the metrics of an epoch, but those that are written; the axis is the step."""
        values = tags.figures(record)
        accuracy = record.get("val/accuracy")
        if accuracy is not None:
            self.best = accuracy if self.best is None else max(self.best, accuracy)
        if self.best is not None:
            values[tags.BEST] = self.best
        self._scalars({tag: value for tag, value in values.items() if (tag, step) not in written}, step)

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)
        self.writer.flush()

    def _write_sample(self, images: NDArray[np.uint8], names: list[str]) -> None:
        if not self.has_sample:
            with _drawing():
                self.writer.add_png(tags.SAMPLES, draw_images(images, names), 0)

    def _write_histograms(self, copies: Mapping[str, Tensor], step: int) -> None:
        with self.histograms.done():
            for name, values in copies.items():
                array = values.float().flatten().numpy()
                if np.isfinite(array).all():
                    self.writer.add_histogram(name, array, HISTOGRAM_BINS, step)

    def _write_pictures(self, pictures: _Pictures, seconds_before: float) -> None:
        names = self.training.class_names
        with self.pictures.done(seconds_before), _drawing():
            matrix = draw_confusion_matrix(pictures.counts, names, pictures.title)
            self.writer.add_png(tags.CONFUSION, matrix, pictures.step)
            if pictures.captions:
                mistakes = draw_images(pictures.mistakes, pictures.captions)
                self.writer.add_png(tags.MISTAKES, mistakes, pictures.step)
            for k, name in enumerate(names if len(names) <= MOST_CURVES else ()):
                is_k, scores = pictures.labels == k, pictures.probabilities[:, k]
                self.writer.add_pr_curve(f"pr/{name}", is_k, scores, pictures.step)
            self.writer.flush()


@contextmanager
def _drawing() -> Iterator[None]:
    """Around the drawing of pictures, which must cost no run; a disk that is full is told as at any other write."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        warn(f"pictures for TensorBoard could not be drawn ({type(error).__name__}: {error})")
