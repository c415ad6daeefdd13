"""The summary of a sweep for TensorBoard, in the sweep's own folder: the scores as trials end, and the pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.store import SweepFolder
from runner.sweep.record.journal import ENDED, Journal
from runner.sweep.report.figures.figures import Picture
from runner.sweep.report.terminal import warned
from runner.sweep.strategy.plan import Mode

POLL_SECONDS = 1.0


class Summary:
    """Writes `sweep/score` and `sweep/best` against the number of trials that have ended.

    What an earlier process wrote is forgotten: everything is written anew from the journal, so that no step is double.
    """

    def __init__(self, folder: SweepFolder, mode: Mode) -> None:
        self.folder = folder
        self.mode = mode
        self.journal = Journal(folder.journal)
        self.offset = 0
        self.ended: set[int] = set()
        self.best: float | None = None
        self.writer: Any = None

    def poll(self) -> None:
        """Follow what the journal has had since the last time."""
        events, self.offset = self.journal.read(self.offset)
        self.follow(events)

    def follow(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write the scores of the trials that end by these events."""
        for event in events:
            if event["event"] not in ENDED or event["trial"] in self.ended:
                continue
            self.ended.add(event["trial"])
            score = event.get("score")
            moment = datetime.fromisoformat(event["time"]).timestamp()
            if event["event"] == "finished" and score is not None:
                better = max if self.mode == "max" else min
                self.best = score if self.best is None else better(self.best, score)
                self._write("sweep/score", score, moment)
            if self.best is not None:
                self._write("sweep/best", self.best, moment)
        if self.writer is not None:
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _write(self, name: str, value: float, moment: float) -> None:
        if self.writer is None:
            forget(self.folder.path)
            self.writer = _open(self.folder.path)
        self.writer.add_scalar(name, value, len(self.ended), walltime=moment)


@contextmanager
def summarising(folder: SweepFolder, mode: Mode, wanted: bool) -> Iterator[None]:
    """Keep the summary while the block runs, in a thread of its own; do nothing where it is not wanted."""
    if not wanted:
        yield
        return
    summary = Summary(folder, mode)
    ending = threading.Event()

    def follow() -> None:
        with warned("TensorBoard's summary"):
            while not ending.wait(POLL_SECONDS):
                summary.poll()

    thread = threading.Thread(target=follow, name="summary", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        with warned("TensorBoard's summary"):
            summary.poll()
            summary.close()


def add_pictures(folder: SweepFolder, pictures: Sequence[Picture], step: int) -> None:
    """Add the pictures as images."""
    from tensorboard.compat.proto.summary_pb2 import Summary as Protocol

    drawn = [picture for picture in pictures if picture.png is not None]
    if not drawn:
        return
    writer = _open(folder.path)
    for picture in drawn:
        assert picture.png is not None
        # As the file has it; the writer's own method would pack the pixels a second time.
        image = Protocol.Image(colorspace=4, encoded_image_string=picture.png)
        image.width, image.height = size_of(picture.png)
        value = Protocol.Value(tag=f"sweep/{picture.name}", image=image)
        writer.file_writer.add_summary(Protocol(value=[value]), step)
    writer.close()


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, which a PNG has in its first chunk."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def forget(path: Path) -> None:
    """Remove the event files of the sweep itself; those of its trials lie in their own folders."""
    for file in path.glob("events.out.tfevents.*"):
        file.unlink()


def _open(path: Path) -> Any:
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(path))
