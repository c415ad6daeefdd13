"""What a regulariser may do to a training run. It overrides the hooks it needs; the others cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class Regulariser:
    """Five places where the lectures' regularisers act. A hook that is not overridden is never called.

    `draws_noise`: whether the loss of the same batch differs from one call to the next.
    """

    draws_noise: ClassVar[bool] = False

    def attach(self, network: nn.Module) -> None:
        """Change the network's layers in place, once, before training.

        Raises:
            UserError: the network has nothing that this regulariser acts on.
        """

    def penalty(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """A term of the loss, from the parameters by name. Pure, so that it maps over stacked trials."""
        raise NotImplementedError

    def mix(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """New images [B, C, H, W] and class probabilities [B, K], drawn from the generator."""
        raise NotImplementedError

    def soften(self, targets: Tensor) -> Tensor:
        """New class probabilities [B, K]."""
        raise NotImplementedError

    def constrain(self, network: nn.Module) -> None:
        """Bring the weights back within bounds after an update."""
        raise NotImplementedError


def overrides(regulariser: Regulariser, hook: str) -> bool:
    """Whether this regulariser acts at the place named by `hook`."""
    return getattr(type(regulariser), hook) is not getattr(Regulariser, hook)
