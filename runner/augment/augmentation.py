"""What an augmentation is: random numbers drawn apart from the pixels, then a pure function of both.

B images, C channels, H by W pixels. Draws come from a CPU generator for a whole epoch at once, so the same seed gives
the same pixels on every device and by every way of loading. Images are floats in [0, 1].

torchvision's random transforms draw one set of numbers for a whole batch; here every image has its own, so its
functions, which take one number, serve only where all images share it. Tests hold each class to them, image by image.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from runner.pictures import Packed
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
        """Images [B, C, size, size] in [0, 1] from larger pictures, as the draws say: in place of `apply`."""
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

    def apply(self, images_BCHW: Tensor, draws: Sequence[Draws]) -> Tensor:
        """Images in [0, 1] changed, or cut from packed pictures, which are uint8, and changed."""
        steps = list(zip(self.members, draws, strict=True))
        if images_BCHW.dtype == torch.uint8:
            assert self.size is not None, "prepare comes first"
            member, numbers = steps.pop(next(place for place, (member, _) in enumerate(steps) if member.picture_scale))
            images_BCHW = member.cut(Packed(images_BCHW), numbers, self.size)
        for member, numbers in steps:
            images_BCHW = member.apply(images_BCHW, numbers)
        return images_BCHW

    def __bool__(self) -> bool:
        return bool(self.members)
