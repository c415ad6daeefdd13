"""How the images of a split reach the device: from memory, or by worker processes.

B images, C channels, S by S pixels.
"""

import multiprocessing
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from runner.constraints import NonNegative, NonNegativeInt, PositiveInt
from runner.data.sampling import Balance
from runner.data.source import Images, Source
from runner.errors import UserError
from runner.lifetime import end_with, this_process
from runner.seeds import generator

Batch = tuple[Tensor, Tensor]  # images [B, C, S, S], labels [B]
Loading = Literal["auto", "in_memory", "workers"]
PreprocessName = Literal["none", "mean_image", "channel_mean", "standardize"]


@dataclass(kw_only=True)
class LoaderSettings:
    """The keys of a data set that do not decide which images it has; configs/data/_shared.yaml says what each does."""

    batch_size: PositiveInt | Literal["auto"] = 64
    eval_batch_size: PositiveInt = 512
    preprocess: PreprocessName = "standardize"
    drop_last: bool = False
    loading: Loading = "auto"
    in_memory_limit_mib: NonNegative = 4096
    num_workers: NonNegativeInt | Literal["auto"] = "auto"
    balance: Balance = "none"
    progressive_sizes: Sequence[PositiveInt] | None = None


class InMemoryLoader:
    """All pixels stay on the device; a batch is a selection of rows."""

    def __init__(self, images: Images, device: torch.device) -> None:
        self.device = device
        self.pixels = images.pixels.to(device)
        self.labels = images.labels.to(device)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        if not chunks:
            return
        order = torch.cat(list(chunks)).to(self.device, non_blocking=True)  # one copy an epoch, not one a batch
        for rows in order.split([len(chunk) for chunk in chunks]):
            yield self.pixels.index_select(0, rows), self.labels.index_select(0, rows)

    def read(self, chunk: Tensor) -> Batch:
        """One batch, apart from an epoch."""
        return next(self.batches([chunk]))


class WorkerLoader:
    """Worker processes read and decode whole batches; the host does not wait for copies to the device.

    Attributes:
        seconds_waited: that this process has waited for them so far.
    """

    seconds_waited = 0.0

    def __init__(self, source: Source, device: torch.device, num_workers: int) -> None:
        self.device = device
        self.source = source
        self.labels = source.labels
        self.num_workers = num_workers
        self.queue: list[list[int]] = []
        self.loader = DataLoader(
            _BatchReader(source),
            sampler=_Queue(self.queue),
            batch_size=None,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            multiprocessing_context=_start_method() if num_workers else None,
            pin_memory=device.type == "cuda",
            worker_init_fn=partial(_begin_worker, this_process()) if num_workers else None,
            generator=generator(0, "workers"),  # else each start of reading takes a number from the global one
        )

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        self.queue[:] = [chunk.tolist() for chunk in chunks]
        began = time.perf_counter()
        for chunk, pixels in zip(chunks, self.loader, strict=True):
            self.seconds_waited += time.perf_counter() - began
            if isinstance(pixels, str):
                raise UserError(pixels)
            labels = self.labels[chunk]
            yield pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
            began = time.perf_counter()

    def read(self, chunk: Tensor) -> Batch:
        """One batch, apart from an epoch, read by this process."""
        return self.source.read(chunk.tolist()).to(self.device), self.labels[chunk].to(self.device)


class _Queue:
    """A sampler over whatever the list holds when an epoch starts."""

    def __init__(self, queue: list[list[int]]) -> None:
        self.queue = queue

    def __iter__(self) -> Iterator[list[int]]:
        return iter(list(self.queue))


class _BatchReader(Dataset[Any]):
    """Reads a batch for a list of indices. A file that cannot be read comes back as the message about it."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, indices: Any) -> Tensor | str:
        try:
            return self.source.read(indices)
        except UserError as error:
            return str(error)


def _start_method() -> str | None:
    """How workers start, where the program's own way is one that torch does not know: that of joblib's processes."""
    own = multiprocessing.get_start_method(allow_none=True)
    return None if own in (None, "fork", "spawn", "forkserver") else "fork"


def _begin_worker(parent: Mapping[str, Any], worker: int) -> None:
    """Leave signals to the parent, and end when it ends: torch's own workers look for it every five seconds."""
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
