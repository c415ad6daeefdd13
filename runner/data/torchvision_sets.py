"""Published data sets that torchvision downloads on first use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from runner.data.dataset import Data, Split
from runner.data.source import Images
from runner.errors import UserError

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CLOTHES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]


@dataclass(kw_only=True)
class TorchvisionSet(Data):
    """A data set of torchvision's, kept under `root`. Its training set is cut into train and val."""

    root: str = "data"
    files: ClassVar[str]  # what to put where, for a machine without a network

    @property
    def num_test_images(self) -> int:
        """Known without reading it: 10,000 of each of these data sets."""
        return 10_000 if self._choice is None else len(self.source("test"))

    def read(self, split: Split) -> Images | None:
        if split == "val":
            return None
        import torchvision.datasets

        kind: Any = getattr(torchvision.datasets, type(self).__name__)
        root = Path(self.root).expanduser()
        try:
            stored = kind(root, train=split == "train", download=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a damaged archive is a RuntimeError
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise UserError(
                f"data.root: {type(self).__name__} is not in {root} and could not be downloaded ({reason}); "
                f"put {self.files.format(root=root)} there yourself, or set data.root to where it is"
            ) from None
        pixels = torch.as_tensor(stored.data)
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
        return Images(pixels, torch.as_tensor(stored.targets).long())


@dataclass(kw_only=True)
class CIFAR10(TorchvisionSet):
    """60,000 color images, 32 x 32, 10 classes. Source: Krizhevsky 2009."""

    image_shape = (3, 32, 32)
    stored_classes: ClassVar = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    files = "cifar-10-python.tar.gz (or its folder cifar-10-batches-py)"


@dataclass(kw_only=True)
class CIFAR100(TorchvisionSet):
    """60,000 color images, 32 x 32, 100 classes. Source: Krizhevsky 2009."""

    image_shape = (3, 32, 32)
    stored_classes: ClassVar = [f"class {index}" for index in range(100)]
    files = "cifar-100-python.tar.gz (or its folder cifar-100-python)"


@dataclass(kw_only=True)
class MNIST(TorchvisionSet):
    """70,000 handwritten digits, 28 x 28, 10 classes. Source: LeCun et al. 1998."""

    image_shape = (1, 28, 28)
    stored_classes: ClassVar = [str(digit) for digit in range(10)]
    files = "the four files *-ubyte.gz into {root}/MNIST/raw,"


@dataclass(kw_only=True)
class FashionMNIST(TorchvisionSet):
    """70,000 pictures of clothes, 28 x 28, 10 classes. Source: Xiao et al. 2017."""

    image_shape = (1, 28, 28)
    stored_classes: ClassVar = CLOTHES
    files = "the four files *-ubyte.gz into {root}/FashionMNIST/raw,"
