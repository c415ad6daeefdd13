"""Which images an epoch holds, and in which order: each once, or so that classes or weights are kept to.

N images; everything belongs to the seed and the epoch.
"""

from typing import Literal

import torch
from torch import Tensor

from runner.errors import UserError
from runner.seeds import generator

Balance = Literal["none", "oversample", "weights"]
MAX_DRAWN = 2**24  # categories that torch.multinomial takes


class Order:
    """The images of each epoch, by index.

    Args:
        labels, weights: of the images [N]; weights say how often each is drawn, relative to the others.
        balance: none = each image once, or by its weight where there are weights. oversample = each class equally
            often: the images of smaller classes again and again, as often as each other but for one. weights = N
            images drawn with replacement by their weights, or each class equally often on average without any.
    """

    def __init__(self, labels: Tensor, weights: Tensor | None = None, balance: Balance = "none") -> None:
        self.total_images = len(labels)
        self.members: list[Tensor] = []
        self.weights: Tensor | None = None
        if balance == "oversample":
            if weights is not None:
                raise UserError(
                    "data.balance: oversample draws each class equally often, and the images have weights of their "
                    "own; set data.balance=weights, or data.weight_column=null"
                )
            self.members = [(labels == label).nonzero().flatten() for label in labels.unique()]
        elif balance == "weights" or weights is not None:
            self.weights = (1 / torch.bincount(labels).double())[labels] if weights is None else weights.double()
            if len(self.weights) > MAX_DRAWN:
                raise UserError(f"data.balance: weights can draw from {MAX_DRAWN:,} images at most; set it to none")

    @property
    def draws(self) -> bool:
        """Whether an epoch holds other images than each one once."""
        return self.weights is not None or bool(self.members)

    @property
    def num_images(self) -> int:
        """Of an epoch."""
        return max(map(len, self.members)) * len(self.members) if self.members else self.total_images

    def of(self, seed: int, epoch: int) -> Tensor:
        """Indices of the epoch's images [num_images]."""
        numbers = generator(seed, "order", epoch)
        if self.weights is not None:
            return torch.multinomial(self.weights, self.total_images, replacement=True, generator=numbers)
        if not self.members:
            return torch.randperm(self.total_images, generator=numbers)
        longest = max(map(len, self.members))
        drawn = []
        for members in self.members:
            whole, rest = divmod(longest, len(members))
            some = members[torch.randperm(len(members), generator=numbers)[:rest]]
            drawn.append(torch.cat([members.repeat(whole), some]))
        images = torch.cat(drawn)
        return images[torch.randperm(len(images), generator=numbers)]
