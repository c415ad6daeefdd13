"""How the images of a split reach the device: from memory, or by worker processes.

B images, C channels, S by S pixels.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from runner.constraints import NonNegative, NonNegativeInt, PositiveInt
from runner.data.sampling import Balance
from runner.data.source import Images, Source
from runner.errors import UserError
from runner.lifetime import end_with, this_process
from runner.pictures import Pictures
from runner.seeds import generator

Batch = tuple[Tensor, Tensor]  # images [B, C, S, S], labels [B]
BatchSize = PositiveInt | Literal["auto"]
Change = Callable[[Pictures], Tensor]  # what makes the images of a batch of packed pictures
Loading = Literal["auto", "in_memory", "workers"]
PreprocessName = Literal["none", "mean_image", "channel_mean", "standardize"]


@dataclass(kw_only=True)
class LoaderSettings:
    """The keys of a data set that do not decide which images it has; configs/data/_shared.yaml says what each does."""

    batch_size: BatchSize = 64
    eval_batch_size: PositiveInt = 512
    preprocess: PreprocessName = "standardize"
    drop_last: bool = False
    loading: Loading = "auto"
    in_memory_limit_mib: NonNegative = 4096
    num_workers: NonNegativeInt | Literal["auto"] = "auto"
    balance: Balance = "none"
    progressive_sizes: Sequence[PositiveInt] | None = None


class InMemoryLoader:
    """All pixels stay on the device; a batch is a selection of rows.

    Attributes:
        reads_on: the device where `changes` act.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self.device = self.reads_on = device
        self.pixels = images.pixels.to(device)
        self.labels = images.labels.to(device)

    def batches(self, chunks: Sequence[Tensor], changes: Sequence[Change] | None = None) -> Iterator[Batch]:
        """Pixels and labels for chunks of indices; the pixels of each chunk as its change makes them."""
        if not chunks:
            return
        order = torch.cat(list(chunks)).to(self.device, non_blocking=True)  # one copy an epoch, not one a batch
        all_rows = order.split([len(chunk) for chunk in chunks])
        for rows, change in zip(all_rows, changes or repeat(None), strict=changes is not None):
            pixels = self.pixels.index_select(0, rows)
            yield pixels if change is None else change(pixels), self.labels.index_select(0, rows)

    def read(self, chunk: Tensor) -> Batch:
        """One batch, apart from an epoch."""
        return next(self.batches([chunk]))


class WorkerLoader:
    """Worker processes read and decode whole batches; the host does not wait for copies to the device.

    Attributes:
        seconds_waited: that this process has waited for them so far.
        reads_on: the device where `changes` act, in the processes that read.
    """

    seconds_waited = 0.0
    reads_on = torch.device("cpu")

    def __init__(self, source: Source, device: torch.device, num_workers: int) -> None:
        self.device = device
        self.source = source
        self.labels = source.labels
        self.num_workers = num_workers
        self.queue: list[tuple[list[int], Change | None]] = []
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

    def batches(self, chunks: Sequence[Tensor], changes: Sequence[Change] | None = None) -> Iterator[Batch]:
        """The same by worker processes, which make the changes, too."""
        every = changes or repeat(None)
        self.queue[:] = [(chunk.tolist(), change) for chunk, change in zip(chunks, every, strict=changes is not None)]
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

    def __init__(self, queue: list[tuple[list[int], Change | None]]) -> None:
        self.queue = queue

    def __iter__(self) -> Iterator[tuple[list[int], Change | None]]:
        return iter(list(self.queue))


class _BatchReader(Dataset[Any]):
    """Reads a batch for indices, and changes it. A file that cannot be read comes back as the message about it."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, asked: Any) -> Tensor | str:
        indices, change = asked
        try:
            return self.source.read(indices) if change is None else change(self.source.each(indices))
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
