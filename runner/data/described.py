"""A data set as a finished run noted it: classes and shape of the images, and how files become such images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from runner.data.dataset import Data, Split
from runner.data.decoding import Resize
from runner.data.source import Files, Source
from runner.errors import UserError
from runner.pictures import View


@dataclass(kw_only=True)
class Described(Data):
    """What a network needs of its data, where the images that it learned from need not be there.

    Args:
        names: K classes, in the order of the scores.
        shape: C, S, S of the network's images.
        resize: how a picture becomes a square.
        scaled: whether pictures are scaled to S, so that larger ones can be had from them.
    """

    names: Sequence[str] = field(default_factory=list)
    shape: tuple[int, int, int] = (3, 1, 1)
    resize: Resize = "crop"
    scaled: bool = True

    @property
    def class_names(self) -> list[str]:
        return list(self.names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.shape

    @property
    def has_larger(self) -> bool:
        return self.scaled

    def read(self, split: Split) -> Source | None:
        raise UserError("data: the images of this run are not described; name its data by data.root")

    def files(self, paths: Sequence[Path], view: View | None = None) -> Files:
        """Image files as the run's own are decoded; larger by a view. Their labels are 0 and mean nothing."""
        channels, size, _ = self.shape
        files = Files(list(paths), torch.zeros(len(paths), dtype=torch.long), size, channels, resize=self.resize)
        return files if view is None else files.seen(view)
