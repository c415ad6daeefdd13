"""TensorBoard's event files: the only place that knows its protobufs and its record format.

Where another version of TensorBoard lacks a piece, that piece alone is left out, with a warning.
"""

import os
import socket
import time
from collections.abc import Container, Iterator, Mapping, Set
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.files import replacing
from runner.warnings import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX = "events.out.tfevents."
PATTERN = f"{PREFIX}*"
OF_TEST = ".test"  # suffix of the file with the scores on the test split, which outlives a rewriting
SESSION_START, SESSION_END = "_hparams_/session_start_info", "_hparams_/session_end_info"
STATUSES = {"finished": "STATUS_SUCCESS", "diverged": "STATUS_FAILURE", "failed": "STATUS_FAILURE"}
COLOR_SPACES = {0: 1, 2: 3, 6: 4}  # kinds of a PNG -> the protobuf's numbers: gray, RGB, RGBA
HPARAMS = "the hyperparameters"
NUM_THRESHOLDS = 50  # of a curve of precision and recall
_numbers = count()

Written = Set[tuple[str, int]]  # tag and step of each value


class EventWriter:
    """Writes a new event file into a folder, in the caller's thread, so that a full disk is the caller's error.

    TensorBoard's own writer has a thread, which prints a traceback instead.

    Args:
        suffix: of the file's name.
    """

    def __init__(self, folder: Path, suffix: str = "") -> None:
        name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self.file = (folder / f"{PREFIX}{name}{suffix}").open("xb")  # which no link can lead elsewhere
        self.records: Any = None
        self.event: Any = None
        with self._left_out("any events"):
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.summary.writer.record_writer import RecordWriter

            self.records, self.event = RecordWriter(self.file), Event
            self._write(file_version="brain.Event:2")

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def add_scalar(self, tag: str, value: float, step: int, walltime: float | None = None) -> None:
        with self._left_out(f"the scalar {tag}"):
            self._add(tag, step, walltime, simple_value=value)

    def add_histogram(self, tag: str, values: "NDArray[Any]", bins: int, step: int) -> None:
        """Add the finite values as a histogram of equal bins; TensorBoard's own take a millisecond."""
        import numpy as np

        with self._left_out(f"the histogram {tag}"):
            from tensorboard.compat.proto.summary_pb2 import HistogramProto

            counts, limits = np.histogram(values, bins=bins)
            histogram = HistogramProto(
                min=float(values.min()),
                max=float(values.max()),
                num=values.size,
                sum=float(values.sum(dtype=np.float64)),
                sum_squares=float(np.square(values, dtype=np.float64).sum()),
                bucket_limit=limits[1:].tolist(),
                bucket=counts.tolist(),
            )
            self._add(tag, step, histo=histogram)

    def add_png(self, tag: str, png: bytes, step: int) -> None:
        """Add a PNG as it is."""
        with self._left_out(f"the image {tag}"):
            from tensorboard.compat.proto.summary_pb2 import Summary

            image = Summary.Image(colorspace=COLOR_SPACES[png[25]], encoded_image_string=png)
            image.width, image.height = png_size(png)
            self._add(tag, step, image=image)

    def add_text(self, tag: str, markdown: str, step: int = 0) -> None:
        with self._left_out(f"the text {tag}"):
            from torch.utils.tensorboard import summary

            self._write(summary=summary.text(tag, markdown), step=step)

    def add_pr_curve(self, tag: str, labels: Any, scores: Any, step: int) -> None:
        """Add precision against recall over thresholds: whether each image is of the class, and its probability."""
        with self._left_out(f"the curve {tag}"):
            from torch.utils.tensorboard import summary

            self._write(summary=summary.pr_curve(tag, labels, scores, NUM_THRESHOLDS), step=step)

    def add_charts(self, layout: Mapping[str, Any]) -> None:
        """Add the layout of the tab Custom Scalars."""
        with self._left_out("the layout of Custom Scalars"):
            from torch.utils.tensorboard import summary

            self._write(summary=summary.custom_scalars(layout), step=0)

    def add_session_start(self, hparams: Mapping[str, Any]) -> None:
        """Add the hyperparameters for the HParams tab: numbers, booleans or text.

        No list of keys is written beside them: TensorBoard would take that of one run for all, and show no column for a
        key that this run lacks. It finds keys and metrics in the runs themselves instead.
        """
        with self._left_out(HPARAMS):
            from tensorboard.plugins.hparams import plugin_data_pb2

            start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
            for key, value in hparams.items():
                is_number = isinstance(value, int | float)
                kind = "bool_value" if isinstance(value, bool) else "number_value" if is_number else "string_value"
                setattr(start.hparams[key], kind, value if kind != "string_value" else str(value))
            self._add_hparams(SESSION_START, session_start_info=start)

    def add_session_end(self, status: str) -> None:
        """Add how a run ended for the HParams tab. A run that did not end has no such record."""
        if status not in STATUSES:
            return
        with self._left_out(HPARAMS):
            from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

            code = getattr(api_pb2, STATUSES[status])
            end = plugin_data_pb2.SessionEndInfo(status=code, end_time_secs=time.time())
            self._add_hparams(SESSION_END, session_end_info=end)

    def _add_hparams(self, tag: str, **content: Any) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        self._add(tag, 0, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)

    def _add(self, tag: str, step: int, walltime: float | None = None, **value: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(walltime, summary=Summary(value=[Summary.Value(tag=tag, **value)]), step=step)

    def _write(self, walltime: float | None = None, **event: Any) -> None:
        if self.records is not None:
            moment = time.time() if walltime is None else walltime
            self.records.write(self.event(wall_time=moment, **event).SerializeToString())

    @contextmanager
    def _left_out(self, what: str) -> Iterator[None]:
        """Leave out, with a warning, what this version of TensorBoard cannot take."""
        try:
            yield
        except (ImportError, AttributeError, TypeError, ValueError, KeyError) as error:
            warn(f"this TensorBoard cannot take {what} ({error}); the run lacks it there")


def remove_event_files(folder: Path, suffix: str = "") -> None:
    """Remove the event files of the folder itself, or those of a suffix; those below it stay."""
    for file in folder.glob(PATTERN + suffix):
        file.unlink()


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height, which a PNG has in its first chunk."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def rewind(folder: Path, last_step: int, last_tags: Container[str] | None = None, ends: Container[str] = ()) -> Written:
    """Rewrite the folder's event files as one without what comes after `last_step`.

    So a resumed curve has no doubled steps in any reader. A record cut short by a crash goes too.

    Args:
        last_tags: what the last step keeps; None: all.
        ends: tags that say how the run ended, which is none where it goes on.

    Returns:
        Tag and step of all that is kept.
    """
    paths = sorted((path for path in folder.glob(PATTERN) if path.suffix != OF_TEST), key=lambda path: path.name)
    if not paths:
        return set()
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        warn(f"this TensorBoard cannot rewrite event files ({error}); curves may show some steps twice")
        return set()
    written: set[tuple[str, int]] = set()
    with replacing(paths[0]) as file:  # whose name comes before that of the file to come
        writer = RecordWriter(file)
        for data in chain.from_iterable(RawEventFileLoader(str(path)).Load() for path in paths):
            event = Event.FromString(data)
            values = {(value.tag, event.step) for value in event.summary.value}
            if values and event.step == last_step and last_tags is not None:
                values = {(tag, step) for tag, step in values if tag in last_tags}
            # Doubled where an earlier rewriting was cut short.
            values = {(tag, step) for tag, step in values if tag != SESSION_END and tag not in ends}
            is_new = not values <= written
            if event.step <= last_step and (is_new or not event.summary.value):
                writer.write(data)
                written |= values
        writer.flush()
    for path in paths[1:]:
        path.unlink()
    return written
