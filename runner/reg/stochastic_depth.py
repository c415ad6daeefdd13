"""Stochastic depth: residual branches that are left out at random."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from runner.constraints import Bounds
from runner.errors import UserError
from runner.reg.regularizer import Regularizer

# Where a residual block's branch ends: the name of its last layer, deepest first.
BRANCH_ENDS = ("branch", "bn3", "bn2")


@dataclass
class StochasticDepth(Regularizer):
    """Drops whole residual branches in training; survival falls linearly with depth from 1 to `last_survival`.

    `p_l = 1 - (l / L) * (1 - last_survival)` for branch l of L; a survivor is divided by p_l, so that the mean is the
    test-time value (the paper multiplies at test instead). `mode`: `row` draws for each image, `batch` for all at once.
    Acts on our residual networks and torchvision's, by torchvision.ops.StochasticDepth. Source: Huang et al. 2016.
    """

    draws_noise: ClassVar[bool] = True

    last_survival: Annotated[float, Bounds(0, 1, low_open=True)] = 0.5
    mode: Literal["row", "batch"] = "row"

    def attach(self, network: nn.Module) -> None:
        from torchvision.ops import StochasticDepth as Drop

        built_in = [layer for layer in network.modules() if isinstance(layer, Drop)]
        ends = [end for block in network.modules() if (end := _branch_end(block)) is not None]
        if not built_in and not ends:
            raise UserError(
                "reg.stochastic_depth: nothing to act on: it needs residual blocks; choose model=resnet, say"
            )
        branches: list[Any] = built_in or ends
        for number, branch in enumerate(branches, 1):
            p = number / len(branches) * (1 - self.last_survival)
            if built_in:
                branch.p, branch.mode = p, self.mode
            elif isinstance(branch, nn.Sequential):
                branch.append(Drop(p, self.mode))
            else:
                branch.stochastic_depth = Drop(p, self.mode)
                branch.register_forward_hook(_drop_output)


def _branch_end(block: nn.Module) -> nn.Module | None:
    """The last layer of a block's residual branch, for torchvision's ResNet blocks and ours; None for other modules."""
    if type(block).__name__ not in ("BasicBlock", "Bottleneck"):
        return None
    return next(
        (getattr(block, name) for name in BRANCH_ENDS if isinstance(getattr(block, name, None), nn.Module)), None
    )


def _drop_output(branch: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    drop = branch.stochastic_depth
    assert isinstance(drop, nn.Module)
    kept: Tensor = drop(output)
    return kept
