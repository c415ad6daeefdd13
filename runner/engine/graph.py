"""The forward and backward pass of a step as a CUDA graph: one launch in place of one per operation.

Operations of a small network take less time than their launches. Source: the section on CUDA graphs of torch's notes.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from runner.errors import UserError

NUM_WARM_UPS = 3  # passes before the capture, in which libraries choose their kernels and allocate memory

Pass = Callable[[Tensor, Tensor, float], tuple[Tensor, ...]]  # of images, targets, a factor on the loss, to outputs
Replay = Callable[[], None]


@dataclass(frozen=True)
class _Captured:
    """A pass with tensors in fixed places: what it reads, what it writes."""

    replay: Replay
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    gradients: list[Tensor | None]


class GraphedPass:
    """A pass that leaves gradients on the weights, captured once for each form of its inputs, then replayed.

    Args:
        weights: whose gradients the pass leaves, added to those that are there.
        keep, restore: of what a pass alters besides; warm-ups leave no trace.
    """

    def __init__(
        self,
        run: Pass,
        weights: Sequence[Tensor],
        keep: Callable[[], Any],
        restore: Callable[[Any], None],
    ) -> None:
        self.run = run
        self.weights = list(weights)
        self.keep, self.restore = keep, restore
        self.captured: dict[Hashable, _Captured] = {}
        self.pool: Any = None  # memory that the graphs share, since only one is replayed at a time

    def __call__(self, images: Tensor, targets: Tensor, share: float, form: Hashable) -> tuple[Tensor, ...]:
        """The outputs of the pass. `form`: what decides which operations it consists of, besides the other arguments.

        Raises:
            UserError: the network has an operation that cannot be captured.
        """
        before = [None if weight.grad is None else weight.grad.clone() for weight in self.weights]
        key = images.shape, images.stride(), images.dtype, targets.shape, targets.dtype, share, form
        if key not in self.captured:
            self.captured[key] = self._capture(images, targets, share)
        captured = self.captured[key]
        for place, given in zip(captured.inputs, (images, targets), strict=True):
            place.copy_(given)
        captured.replay()
        for weight, gradient, earlier in zip(self.weights, captured.gradients, before, strict=True):
            if gradient is not None and earlier is not None:
                gradient.add_(earlier)
            weight.grad = earlier if gradient is None else gradient
        return tuple(output.clone() for output in captured.outputs)  # the next replay writes over them

    def _capture(self, images: Tensor, targets: Tensor, share: float) -> _Captured:
        inputs = torch.empty_like(images).copy_(images), torch.empty_like(targets).copy_(targets)
        kept = self.keep()

        def run() -> tuple[Tensor, ...]:
            for weight in self.weights:
                weight.grad = None  # so that the gradients have a place of their own, which each replay fills anew
            return self.run(*inputs, share)

        replay, outputs = self._record(run)
        self.restore(kept)
        return _Captured(replay, inputs, outputs, [weight.grad for weight in self.weights])

    def _record(self, run: Callable[[], tuple[Tensor, ...]]) -> tuple[Replay, tuple[Tensor, ...]]:
        """The operations of `run` as a graph; what `run` returned is where each replay leaves its results."""
        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(NUM_WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        try:
            # Other threads, which write checkpoints and pin memory, may go on meanwhile.
            with torch.cuda.graph(graph, pool=self.pool, stream=stream, capture_error_mode="thread_local"):
                outputs = run()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            raise UserError(
                f"engine.compile: graph cannot capture this training ({why}); set it to false or true"
            ) from error
        return graph.replay, outputs
