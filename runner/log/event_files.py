"""TensorBoard's event files: the only place that knows its protobufs and its record format.

Where another version of TensorBoard lacks a piece, that piece alone is left out, with a warning.
"""

import time
from collections.abc import Callable, Container, Mapping, Set
from itertools import chain
from pathlib import Path
from typing import Any

from runner.files import replacing
from runner.warnings import warn

PATTERN = "events.out.tfevents.*"
SESSION_START, SESSION_END = "_hparams_/session_start_info", "_hparams_/session_end_info"
STATUSES = {"finished": "STATUS_SUCCESS", "diverged": "STATUS_FAILURE", "failed": "STATUS_FAILURE"}
RGBA = 4  # the protobuf's number for the color space

Written = Set[tuple[str, int]]  # tag and step of each value


def open_writer(folder: Path) -> Any:
    """A writer of a new event file in the folder."""
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder))


def remove_event_files(folder: Path) -> None:
    """Remove the event files of the folder itself; those below it stay."""
    for file in folder.glob(PATTERN):
        file.unlink()


def write_session_start(writer: Any, hparams: Mapping[str, Any]) -> None:
    """Write the hyperparameters for the HParams tab: numbers, booleans or text.

    No list of keys is written beside them: TensorBoard would take that of one run for all, and show no column for a key
    that this run lacks. It finds keys and metrics in the runs themselves instead.
    """
    _write_hparams(writer, lambda pb: _session_start(pb, hparams), SESSION_START)


def write_session_end(writer: Any, status: str) -> None:
    """Write how a run ended for the HParams tab. A run that did not end has no such record."""
    if status in STATUSES:
        _write_hparams(writer, lambda pb: _session_end(pb, STATUSES[status]), SESSION_END)


def _session_start(protobufs: Any, hparams: Mapping[str, Any]) -> dict[str, Any]:
    start = protobufs.SessionStartInfo(start_time_secs=time.time())
    for key, value in hparams.items():
        is_number = isinstance(value, int | float)
        kind = "bool_value" if isinstance(value, bool) else "number_value" if is_number else "string_value"
        setattr(start.hparams[key], kind, value if kind != "string_value" else str(value))
    return {"session_start_info": start}


def _session_end(protobufs: Any, status: str) -> dict[str, Any]:
    from tensorboard.plugins.hparams import api_pb2

    return {"session_end_info": protobufs.SessionEndInfo(status=getattr(api_pb2, status), end_time_secs=time.time())}


def _write_hparams(writer: Any, content: Callable[[Any], dict[str, Any]], tag: str) -> None:
    try:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content(plugin_data_pb2))
        about = metadata.create_summary_metadata(data)
        value = Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
        writer.file_writer.add_summary(Summary(value=[value]))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        warn(f"this TensorBoard cannot take the hyperparameters ({error}); the HParams tab lacks this run")


def add_png(writer: Any, tag: str, png: bytes, step: int) -> None:
    """Add a PNG as it is; the writer's own method would decode and pack the pixels a second time."""
    try:
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(colorspace=RGBA, encoded_image_string=png)
        image.width, image.height = png_size(png)
        writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        warn(f"this TensorBoard cannot take the image {tag} ({error}); it is left out")


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height, which a PNG has in its first chunk."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def rewind(folder: Path, last_step: int, last_tags: Container[str] | None = None) -> Written:
    """Rewrite the folder's event files as one without what comes after `last_step`.

    So a resumed curve has no doubled steps in any reader. A record cut short by a crash goes too.

    Args:
        last_tags: what the last step keeps; None: all.

    Returns:
        Tag and step of all that is kept.
    """
    paths = sorted(folder.glob(PATTERN), key=lambda path: path.name)
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
            # Doubled where an earlier rewriting was cut short; and an end is none where the run goes on.
            is_new = not values <= written | {(SESSION_END, 0)}
            if event.step <= last_step and (is_new or not event.summary.value):
                writer.write(data)
                written |= values
        writer.flush()
    for path in paths[1:]:
        path.unlink()
    return written
