"""Which blocks of a trained network learn: from none but the head to all of them.

A block is a layer as `runner.optimizer.layers_of` counts them: a convolution, a residual block, a transformer's
block. The head is the last layer, which gives the class scores. It and layers without trained weights always learn at
the whole learning rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from runner.constraints import PositiveFraction, PositiveInt


class Rate(NamedTuple):
    """How a block learns: a factor on the learning rate, and the epochs before it begins to."""

    scale: float = 1.0
    start_epochs: int = 0


@dataclass
class Transfer:
    """What all of the group share.

    Args:
        source: a finished run whose best or averaged weights and preprocessing are taken; None for those of
            `model.weights`.
        head: auto keeps of the head the rows of classes that source and target share; new keeps none.
        missing: what to do where the trained weights cannot be had: error, or train from scratch.
    """

    source: str | int | None = None
    head: Literal["auto", "new"] = "auto"
    missing: Literal["error", "scratch"] = "error"

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        """Of each block from the first to the last, without the head; None for one that stays as it is."""
        raise NotImplementedError


class Whole(Transfer):
    """Every layer learns at the whole learning rate; the weights at the start need not be trained ones.

    >>> Whole().rates(1)
    [Rate(scale=1.0, start_epochs=0)]
    """

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        return [Rate()] * num_blocks


class Head(Transfer):
    """The head alone learns.

    >>> Head().rates(2)
    [None, None]
    """

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        return [None] * num_blocks


@dataclass
class LastBlocks(Transfer):
    """The head and the last `num_blocks` blocks learn, these at `lr_scale` times the learning rate.

    >>> LastBlocks(num_blocks=1).rates(3)
    [None, None, Rate(scale=0.1, start_epochs=0)]
    """

    num_blocks: PositiveInt = 1
    lr_scale: PositiveFraction = 0.1

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        learning = min(self.num_blocks, num_blocks)
        return [*[None] * (num_blocks - learning), *[Rate(self.lr_scale)] * learning]


@dataclass
class All(Transfer):
    """All blocks learn: the last at `lr_scale` times the learning rate, each one before it at `block_decay` times that.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.2, whose decay is 1 / 2.6.

    >>> [round(rate.scale, 3) for rate in All(block_decay=0.5).rates(3)]
    [0.025, 0.05, 0.1]
    """

    lr_scale: PositiveFraction = 0.1
    block_decay: PositiveFraction = 1.0

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        return [Rate(self.lr_scale * self.block_decay ** (num_blocks - 1 - place)) for place in range(num_blocks)]


@dataclass
class Gradual(Transfer):
    """The head learns first, then every `every_epochs` one block more, from the last to the first.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.3 (gradual unfreezing).

    >>> [rate.start_epochs for rate in Gradual(every_epochs=2).rates(3)]
    [6, 4, 2]
    """

    every_epochs: PositiveInt = 1
    lr_scale: PositiveFraction = 0.1

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        return [Rate(self.lr_scale, (num_blocks - place) * self.every_epochs) for place in range(num_blocks)]


@dataclass
class Features(Transfer):
    """A linear classifier learns on the features of one stage, which are computed once and kept on the disk.

    Args:
        stage: the name of a layer, whose maps are averaged over their places; None for the inputs of the head.
        cache: the folder of the features; `auto` for runner/ in the user's cache folder, None for no files.
    """

    stage: str | int | None = None
    cache: str | None = "auto"

    def rates(self, num_blocks: int) -> Sequence[Rate | None]:
        return [None] * num_blocks
