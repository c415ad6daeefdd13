"""Layers in the form in which they map over trials best.

torch maps most layers well by itself. It has no way for fractional pooling, and for batch normalization one that passes
over the images several times more: these are folded, so that T trials of C channels become one of T*C, or T of B images
one of T*B. A linear layer's gradient comes out transposed, and turning it round takes as long as computing it; cross
entropy is taken apart in Python.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.loss import CrossEntropy
from runner.reg import pooling


class FoldedNorm(nn.BatchNorm1d):
    """Batch normalization [B, C, ...] of several trials at once."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.num_batches_tracked is not None
        if self.training:
            self.num_batches_tracked.add_(1)
        given = (self.running_mean, self.running_var, self.weight, self.bias)
        return _Normalize.apply(x, *given, self.training, self.momentum, self.eps)


class ColumnLinear(nn.Linear):
    """A linear layer of images [B, features] as `W x` with images as columns, whose gradient has the layout of W."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            return super().forward(x)
        y = torch.matmul(self.weight, x.mT)
        return (y if self.bias is None else y + self.bias[:, None]).mT


class GatheredCrossEntropy(CrossEntropy):
    """Cross entropy of scores [B, K] and labels [B] by its formula; of class probabilities as torch has it."""

    def forward(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        if targets.is_floating_point():
            return super().forward(scores_BK, targets)
        return -F.log_softmax(scores_BK, dim=1).gather(1, targets[:, None]).mean()


def vmap_layer(layer: nn.Module) -> nn.Module | None:
    """The form of a layer or a loss that maps over trials best; None where its own is as good as any."""
    if type(layer) is CrossEntropy and layer.class_weights is None:
        return GatheredCrossEntropy()
    if type(layer) is nn.Linear:
        made = ColumnLinear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        vars(made).update(vars(layer))  # the same parameters, and what hooks onto them
        return made
    if not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return None
    if not (layer.affine and layer.track_running_stats) or layer.momentum is None:  # the mean over all batches
        return None
    folded = FoldedNorm(layer.num_features, layer.eps, layer.momentum, device=layer.weight.device)
    return folded.train(layer.training)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, training: bool, momentum: Any, eps: Any
    ) -> Tensor:
        return F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        T, dim = info.batch_size, in_dims[0]
        x_BTC = x.unsqueeze(1).expand(-1, T, *x.shape[1:]) if dim is None else x.movedim(dim, 1)
        statistics = [tensor.flatten() for tensor in rest[:4]]
        y = F.batch_norm(x_BTC.flatten(1, 2), *statistics, *rest[4:])
        return y.unflatten(1, (T, -1)), 1


class FoldedPool(torch.autograd.Function):
    """Fractional max pooling of images [B, C, H, W] to a size, by samples [B, C, 2], of several trials at once."""

    @staticmethod
    def forward(x: Tensor, samples: Tensor, size: tuple[int, int]) -> Tensor:
        return pooling.fractional_max_pool(x, samples, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, samples: Tensor, size: tuple[int, int]) -> tuple[Tensor, int]:
        T = info.batch_size
        parts = [
            (part.expand(T, *part.shape) if dim is None else part.movedim(dim, 0)).flatten(0, 1)
            for part, dim in zip((x, samples), in_dims, strict=False)
        ]
        return FoldedPool.forward(parts[0], parts[1], size).unflatten(0, (T, -1)), 0
