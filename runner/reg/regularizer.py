"""What a regularizer may do to a training run. It overrides the hooks it needs; the others cost nothing."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from runner import renamed


class Regularizer:
    """Five places where the lectures' regularizers act. A hook that is not overridden is never called.

    `draws_noise`: whether the loss of the same batch differs from one call to the next.
    """

    draws_noise: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for old in ("soften", "constrain"):
            if old in vars(cls):
                raise TypeError(f"{cls.__name__}.{old}: no such hook{renamed.hint(renamed.NAMES, old)}")

    def attach(self, network: nn.Module) -> None:
        """Change the network's layers in place, once, before training.

        Raises:
            UserError: the network has nothing that this regularizer acts on.
        """

    def penalty(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """A term of the loss, from the parameters by name. Pure, so that it maps over vectorized trials."""
        raise NotImplementedError

    def mix(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """New images [B, C, H, W] and class probabilities [B, K], drawn from the generator."""
        raise NotImplementedError

    def transform_targets(self, targets: Tensor) -> Tensor:
        """New class probabilities [B, K]."""
        raise NotImplementedError

    def project_weights(self, network: nn.Module) -> None:
        """Bring the weights back within bounds after an update."""
        raise NotImplementedError


def overrides(regularizer: Regularizer, hook: str) -> bool:
    """Whether this regularizer acts at the place named by `hook`."""
    return getattr(type(regularizer), hook) is not getattr(Regularizer, hook)
