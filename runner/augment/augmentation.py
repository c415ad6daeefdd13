"""What an augmentation is: random numbers drawn apart from the pixels, then a pure function of both.

B images, C channels, H by W pixels. Draws come from a CPU generator for a whole epoch at once, so the same seed gives
the same pixels on every device and by every way of loading; but for the rounding of those that are cut from larger
pictures, see `runner.pictures`. Images are floats in [0, 1].

torchvision's random transforms draw one set of numbers for a whole batch; here every image has its own, so its
functions, which take one number, serve only where all images share it. Tests hold each class to them, image by image.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from runner.pictures import Packed, Pictures
from runner.seeds import generator

Draws = dict[str, Tensor]  # each [B, ...]: one row an image


@dataclass(frozen=True)
class Epoch:
    """An epoch of a split, to augmentations that must know which image is which.

    Args:
        number: of the epoch, from 0.
        seed: of the run's augmentation.
        images: which images of the split, in their order [n].
        num_images: of the whole split.
    """

    number: int
    seed: int
    images: Tensor
    num_images: int


class Augmentation:
    """One random change of images. `check`, `prepare` and `draw_epoch` may be left as they are.

    One that cuts from a picture, and so wants it larger than the network's images, overrides `picture_scale` and `cut`.
    """

    @property
    def picture_scale(self) -> float:
        """The short side of the pictures to cut from, as a multiple of that of the images; 0 for none that cuts."""
        return 0.0

    def cut(self, pictures: Packed, draws: Draws, size: int) -> Tensor:
        """Images, uint8 [B, C, size, size], from larger pictures, as the draws say: in place of `apply`."""
        raise NotImplementedError

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse images [C, H, W] that this cannot act on.

        Raises:
            UserError: with the key and the remedy.
        """

    def prepare(self, images: Iterable[Tensor]) -> None:
        """Look at the training split once, before the first epoch: chunks of floats [n, C, H, W] in [0, 1].

        Where it is not overridden the split is not read.
        """

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        """The random numbers of `num_images` images, on the CPU."""
        raise NotImplementedError

    def draw_epoch(self, epoch: Epoch, generator: torch.Generator) -> Draws:
        """The random numbers of an epoch's images, a row for each of `epoch.images`; the generator is the epoch's own.

        Where it is not overridden, they depend on the place in the epoch alone.
        """
        return self.draw(len(epoch.images), generator)

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        """The images changed as the draws say: same shape, same range. Nothing here waits for the device."""
        raise NotImplementedError


def overrides(augmentation: Augmentation, hook: str) -> bool:
    """Whether this augmentation acts at the hook of that name."""
    return getattr(type(augmentation), hook) is not getattr(Augmentation, hook)


@dataclass
class Cut:
    """The images, uint8 [B, C, size, size], of a batch's packed pictures; the draws are where the pictures are."""

    member: Augmentation
    draws: Draws
    size: int

    def __reduce__(self) -> tuple[Any, ...]:
        # A tensor would go to another process as shared memory, which costs more than these few numbers.
        return _unpickled_cut, (self.member, {key: numbers.numpy() for key, numbers in self.draws.items()}, self.size)

    def __call__(self, pixels: Pictures) -> Tensor:
        return self.member.cut(Packed(pixels), self.draws, self.size)


def _unpickled_cut(member: Augmentation, draws: Mapping[str, Any], size: int) -> Cut:
    return Cut(member, {key: torch.from_numpy(numbers) for key, numbers in draws.items()}, size)


@dataclass
class Pipeline:
    """Augmentations in order; where the pictures are larger, the one that cuts comes first, wherever it stands."""

    members: Sequence[Augmentation] = ()
    size: int | None = field(default=None, init=False)  # of the images, once prepared

    @property
    def picture_scale(self) -> float:
        """The short side of the pictures to cut from, as a multiple of that of the images; 0 where no member cuts."""
        return max((member.picture_scale for member in self.members), default=0.0)

    def prepare(self, image_shape: tuple[int, int, int], split: Callable[[], Iterable[Tensor]]) -> None:
        """Check every member against the images, and show the training split to those that want to see it.

        Raises:
            UserError: a member cannot act on such images.
        """
        self.size = image_shape[-1]
        for member in self.members:
            member.check(image_shape)
        for member in self.members:
            if overrides(member, "prepare"):
                member.prepare(split())

    def draw(self, num_images: int, generator: torch.Generator) -> list[Draws]:
        return [member.draw(num_images, generator) for member in self.members]

    def draw_epoch(self, number: int, seed: int, images: Tensor, num_images: int) -> list[Draws]:
        """The random numbers of an epoch; arguments as those of `Epoch`."""
        epoch, numbers = Epoch(number, seed, images, num_images), generator(seed, "augment", number)
        return [member.draw_epoch(epoch, numbers) for member in self.members]

    def cut(self, draws: Sequence[Draws]) -> Cut:
        """What the member that cuts does to packed pictures, as those draws of their batch say."""
        place = self._cuts()
        assert place is not None
        assert self.size is not None, "prepare comes first"
        return Cut(self.members[place], draws[place], self.size)

    def apply(self, images_BCHW: Tensor, draws: Sequence[Draws], are_cut: bool = False) -> Tensor:
        """Images in [0, 1] changed; `are_cut`: by all members but the one that has cut them."""
        done = self._cuts() if are_cut else None
        for place, (member, numbers) in enumerate(zip(self.members, draws, strict=True)):
            if place != done:
                images_BCHW = member.apply(images_BCHW, numbers)
        return images_BCHW

    def _cuts(self) -> int | None:
        """Which member cuts from larger pictures."""
        return next((place for place, member in enumerate(self.members) if member.picture_scale), None)

    def __bool__(self) -> bool:
        return bool(self.members)
