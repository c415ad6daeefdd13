"""Batches of one split on the device: indices, pixels, augmentation, preprocessing, in that order.

The order of an epoch and its augmentation draws depend on the seed and the epoch alone, so any batch of any epoch
can be made again without those before it. B images a batch, C channels, S by S pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from runner.data.loader import Batch, Change, InMemoryLoader, WorkerLoader
from runner.data.sampling import Order
from runner.data.source import Images
from runner.machine import free_memory
from runner.pictures import Packed, Pictures, scaled
from runner.seeds import generator

# Memory for preprocessed images where nothing random happens to them. On a CPU, preprocessing takes no time that shows
# beside an update of larger images, and floats take four times the memory of pixels; a GPU waits for each operation.
READY_BYTES = 64 * 2**20  # on a CPU
READY_SHARE = 1 / 16  # of what is free elsewhere
SAMPLE_CHUNK = 256  # images at a time, where some are looked at before training

Draws = list[dict[str, Tensor]]  # of each augmentation, a row an image


class Augment(Protocol):
    """Random changes of images, drawn apart from the pixels. See `runner.augment`."""

    def draw_epoch(self, number: int, seed: int, images: Tensor, num_images: int) -> Draws: ...

    def cut(self, draws: Draws) -> Change: ...

    def apply(self, images_BCHW: Tensor, draws: Draws, are_cut: bool = False) -> Tensor: ...


class Batches:
    """The batches of one split, epoch by epoch.

    Args:
        loader: where pixels come from, `InMemoryLoader` or `WorkerLoader`.
        images: how many are in the split; or the `Order` that says which of them an epoch holds.
        batch_size: images an update; the last batch of an epoch may be shorter.
        seed: of the order and the augmentation; None for the stored order.
        drop_last: leave a short last batch out.
        limit: use at most this many batches an epoch.
        cut_to: the side of the network's images, where the loader gives packed pictures (`runner.pictures`) from which
            the augmentation cuts them; None where it gives the images themselves.
        num_parts: how many parts an update cuts a batch into. The last batch of training is shortened, or left out,
            where one of its parts would be a single image: batch normalization has no variance there.
        sizes: to which the images of an epoch are scaled; None for the size that they have.

    Attributes:
        known: what else each batch brings along of its images, a row an image of the split [n, ...]; None for nothing.
    """

    known: Tensor | None = None

    def __init__(
        self,
        loader: InMemoryLoader | WorkerLoader,
        images: int | Order,
        batch_size: int,
        preprocess: nn.Module,
        augment: Augment | None = None,
        seed: int | None = None,
        drop_last: bool = False,
        limit: int | None = None,
        num_parts: int = 1,
        cut_to: int | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        self.loader = loader
        self.cut_to = cut_to
        self.preprocess = preprocess
        self.augment = augment
        self.seed = seed
        self.batch_size = batch_size
        self.sizes = sizes
        self.images = images if isinstance(images, Order) else Order(torch.zeros(images, dtype=torch.long))
        num_images = self.images.num_images
        remainder = num_images % batch_size
        last = 0 if drop_last else remainder
        if seed is not None and batch_size > num_parts:
            last = _without_single_images(last, num_parts)
        self.num_images = num_images - remainder + last or num_images
        self.total_images = self.images.total_images
        if limit is not None:
            self.num_images = min(self.num_images, limit * batch_size)
        as_stored = augment is None and sizes is None
        self.ready = self._all_ready() if as_stored and isinstance(loader, InMemoryLoader) else None

    @property
    def num_batches(self) -> int:
        return -(-self.num_images // self.batch_size)

    def of(self, trial: int) -> Batches:
        """The batches of one trial; all vectorized trials may share these."""
        return self

    def order(self, epoch: int) -> Tensor:
        """Indices of the epoch's images [num_images]."""
        if self.seed is None:
            return torch.arange(self.num_images)
        return self.images.of(self.seed, epoch)[: self.num_images]

    @torch.no_grad()
    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The batches of an epoch, from batch number `start`: images, labels, and what is `known` of them."""
        chunks = self.order(epoch).split(self.batch_size)[start:]
        if self.known is not None:
            known = self.known
            batches = zip(self._epoch(epoch, start, chunks), chunks, strict=True)
            yield from ((*batch, known[chunk.to(known.device)]) for batch, chunk in batches)
        else:
            yield from self._epoch(epoch, start, chunks)

    def _epoch(self, epoch: int, start: int, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """Images and labels of those chunks of the epoch's order, of which the first is batch number `start`."""
        if self.ready is not None:
            yield from self.ready.batches(chunks)
            return
        drawn = self.drawn(epoch)
        draws = self.on_device(drawn)
        cuts = _cuts([self], [drawn], range(start, start + len(chunks)))
        for number, (pixels, labels) in enumerate(self.loader.batches(chunks, cuts), start):
            images = self.augmented(pixels, self.augment, self.draws_of_batch(draws, number))
            yield self.preprocess(self.sized(images, epoch)), labels

    def augmented(self, pixels: Tensor, augment: Augment | None, draws: Any) -> Tensor:
        """Pixels as the loader gives them, cut where they are packed, as images [B, C, S, S] in [0, 1]."""
        if augment is None:
            return self.plain(pixels)
        return augment.apply(as_float(pixels), draws, are_cut=self.cut_to is not None)

    def plain(self, pixels: Tensor) -> Tensor:
        """Pixels as they are stored as images without augmentation."""
        return as_float(Packed(pixels).center(self.cut_to) if self.cut_to else pixels)

    def sized(self, images: Tensor, epoch: int) -> Tensor:
        """Images [B, C, S, S] at the size of that epoch."""
        size = images.shape[-1] if self.sizes is None else self.sizes.of(epoch)
        return images if size == images.shape[-1] else scaled(images, size)

    def drawn(self, epoch: int) -> Any:
        """The random numbers of the epoch's augmentation, on the CPU; None without one."""
        if self.augment is None:
            return None
        assert self.seed is not None
        return self.augment.draw_epoch(epoch, self.seed, self.order(epoch), self.total_images)

    def on_device(self, drawn: Any) -> Any:
        """The same on the device."""
        return None if drawn is None else _moved(drawn, self.loader.device)

    def draws_of_batch(self, draws: Any, number: int) -> Any:
        """Those of batch `number`; None without an augmentation."""
        if draws is None:
            return None
        return _each(draws, lambda numbers: numbers[number * self.batch_size : (number + 1) * self.batch_size])

    def of_trial(self, seed: int, augment: Augment | None) -> Batches:
        """The same images in the order, and with the augmentation, of another trial; pixels are shared."""
        other = copy.copy(self)
        other.seed, other.augment = seed, augment
        return other

    @torch.no_grad()
    def all_plain(self, chunk: int = SAMPLE_CHUNK) -> Iterator[Batch]:
        """All images of the split in their order, as the network sees them but for augmentation, with their labels."""
        for pixels, labels in self.loader.batches(torch.arange(self.total_images).split(chunk)):
            yield self.preprocess(self.plain(pixels)), labels

    def replace(self, values: Tensor, labels: Tensor) -> None:
        """Give these values [N, ...], a row an image of the split, in place of the images from now on."""
        self.ready = InMemoryLoader(Images(values, labels), self.loader.device)

    @torch.no_grad()
    def sample(self, num_images: int) -> Iterator[Tensor]:
        """At most so many images of the split, whatever the seed, as the network sees them but for augmentation.

        In chunks [n, C, S, S].
        """
        chosen = torch.randperm(self.total_images, generator=generator(0, "sample"))[:num_images]
        for pixels, _ in self.loader.batches(chosen.split(SAMPLE_CHUNK)):
            yield self.preprocess(self.plain(pixels))

    @torch.no_grad()
    def pictures(self, num_images: int) -> Batch:
        """The first images of epoch 0 as the network will see them, but before preprocessing: floats in [0, 1]."""
        chunk = self.order(0)[:num_images]
        pixels, labels = self.loader.read(chunk)
        if self.augment is None or self.seed is None:
            return self.plain(pixels), labels
        draws = _each(self.on_device(self.drawn(0)), lambda numbers: numbers[: len(chunk)])
        pixels = self.augment.cut(draws)(pixels) if self.cut_to else pixels
        return self.augmented(pixels, self.augment, draws), labels

    @torch.no_grad()
    def originals(self, indices: Tensor) -> Tensor:
        """The images [n, C, S, S] of those indices [n] in the split, without augmentation and preprocessing."""
        return self.plain(self.loader.read(indices.cpu())[0])

    def _all_ready(self) -> InMemoryLoader | None:
        """The same images preprocessed once and for all, where they are few."""
        assert isinstance(self.loader, InMemoryLoader)
        pixels = self.loader.pixels
        on_cpu = pixels.device.type == "cpu"
        if pixels.numel() * 4 > (READY_BYTES if on_cpu else READY_SHARE * free_memory(pixels.device)):
            return None
        with torch.no_grad():
            return InMemoryLoader(Images(self.preprocess(as_float(pixels)), self.loader.labels), pixels.device)


class Sizes:
    """The sides to which images are scaled, each in an equal part of the epochs; what is left over is the last one's.

    >>> [Sizes([8, 16], 5).of(epoch) for epoch in range(6)]
    [8, 8, 16, 16, 16, 16]
    """

    def __init__(self, sides: Sequence[int], num_epochs: int) -> None:
        self.sides = list(sides)
        self.num_epochs = num_epochs

    def of(self, epoch: int) -> int:
        """The side in that epoch, counted from 0."""
        epochs_left = max(0, self.num_epochs - 1 - epoch)
        return self.sides[len(self.sides) - 1 - epochs_left * len(self.sides) // self.num_epochs]


class VectorizedBatches:
    """The batches of T trials at once, images [T, B, C, S, S] and labels [T, B]: each trial's as it has them alone.

    Args:
        members: the batches of each trial, of the same images. See `Batches.of_trial`.
        present: the trials that still train; looked at when an epoch begins.
    """

    def __init__(self, members: Sequence[Batches], present: Sequence[int]) -> None:
        self.members = members
        self.present = present
        self.num_images = members[0].num_images
        self.num_batches = members[0].num_batches

    def of(self, trial: int) -> Batches:
        """The batches of one trial."""
        return self.members[trial]

    @torch.no_grad()
    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The batches of an epoch, from batch number `start`: images, labels, and what is `known` of them."""
        members = [self.members[trial] for trial in self.present]
        first = members[0]
        orders_TN = torch.stack([member.order(epoch) for member in members])
        chunks = [chunk_TB.flatten() for chunk_TB in orders_TN.split(first.batch_size, dim=1)[start:]]
        ready = first.ready is not None
        drawn = [member.drawn(epoch) for member in members]
        draws = [member.on_device(own) for member, own in zip(members, drawn, strict=True)]
        cuts = _cuts(members, drawn, range(start, start + len(chunks)))
        source = first.ready or first.loader
        for number, (pixels, labels) in enumerate(source.batches(chunks, cuts), start):
            images = pixels
            if not ready:
                images = first.preprocess(first.sized(_augmented(members, pixels, draws, number), epoch))
            parts = [images, labels]
            if first.known is not None:
                parts.append(first.known[chunks[number - start].to(first.known.device)])
            yield tuple(part.unflatten(0, (len(members), -1)) for part in parts)


@dataclass
class _EachCut:
    """The changes of several trials, each to its part of the pixels."""

    changes: Sequence[Change]

    def __call__(self, pixels: Pictures) -> Tensor:
        size = len(pixels) // len(self.changes)
        return torch.cat([change(pixels[at * size : (at + 1) * size]) for at, change in enumerate(self.changes)])


def _cuts(members: Sequence[Batches], drawn: Sequence[Any], numbers: Sequence[int]) -> list[Change] | None:
    """What makes images of packed pictures, a change for each of those batches; None where nothing is cut."""
    first = members[0]
    if first.cut_to is None or first.augment is None:
        return None

    there = [_moved(own, first.loader.reads_on) for own in drawn]  # once, not for each batch

    def of_batch(number: int) -> Change:
        cuts = []
        for member, own in zip(members, there, strict=True):
            assert member.augment is not None
            cuts.append(member.augment.cut(member.draws_of_batch(own, number)))
        return cuts[0] if len(cuts) == 1 else _EachCut(cuts)

    return [of_batch(number) for number in numbers]


def _augmented(members: Sequence[Batches], pixels: Tensor, draws: Sequence[Any], number: int) -> Tensor:
    """The images [T*B, C, S, S] of the pixels of batch `number`, each trial's augmented as it draws.

    At once where all have the same augmentation.
    """
    first, augment = members[0], members[0].augment
    if augment is None:
        return first.plain(pixels)
    parts = [member.draws_of_batch(own, number) for member, own in zip(members, draws, strict=True)]
    if all(member.augment is augment for member in members):
        return first.augmented(pixels, augment, _joined(parts))
    changed = [
        first.augmented(own, member.augment, numbers)
        for member, own, numbers in zip(members, pixels.chunk(len(members)), parts, strict=True)
    ]
    return torch.cat(changed)


def _without_single_images(num_images: int, num_parts: int) -> int:
    """How many of them make a batch that `Tensor.chunk` cuts into so many parts, or fewer, of two images or more."""
    part = -(-num_images // num_parts)
    if part > 1 and num_images % part == 1:
        num_images -= 1
    return num_images if num_images > num_parts else 0


def as_float(pixels: Tensor) -> Tensor:
    """uint8 0 to 255 as float 0 to 1."""
    return pixels.to(torch.float32).mul_(1 / 255)


def _each(draws: Draws, change: Callable[[Tensor], Tensor]) -> Draws:
    return [{key: change(numbers) for key, numbers in own.items()} for own in draws]


def _moved(draws: Draws, device: torch.device) -> Draws:
    return _each(draws, lambda numbers: numbers.to(device, non_blocking=True))


def _joined(parts: Sequence[Draws]) -> Draws:
    """The draws of several batches as those of one."""
    return [{key: torch.cat([own[key] for own in column]) for key in column[0]} for column in zip(*parts, strict=True)]
