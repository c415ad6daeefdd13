"""Averages: a second set of weights beside the trained ones."""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from runner.constraints import Duration, Fraction, NonNegative, PositiveInt
from runner.optimizer.torch_kernels import foreach
from runner.schedule import Schedule

SNAPSHOTS = "snapshots"  # in the state of an average


class WeightAverage:
    """A second set of weights that follows the trained ones; validation and test use it.

    Starts at the initial weights. Batch-norm statistics follow alike; counters are copied.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._averaged = _floats(self.network)
        self._current = _floats(network)
        self.held: Collection[str] = ()  # layers whose running statistics stay as they are
        self._counters = list(zip(_counters(self.network), _counters(network), strict=True))

    def due(self) -> tuple[float, bool]:
        """After an update: the share that the average takes of the trained weights; whether they are then set to it."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self) -> None:
        share, returns = self.due()
        if share:
            foreach("lerp_", self._averaged, self._current, share)
        for averaged, current in self._counters:
            averaged.copy_(current)
        if returns:
            foreach("copy_", self._current, self._averaged)

    def before_scoring(self, batches: Callable[[], Iterable[Any]]) -> None:
        """Make the averaged network ready to be scored. `batches`: those of the epoch that was trained last."""

    def state_dict(self) -> dict[str, Any]:
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state)


class EMA(WeightAverage):
    """Exponential moving average: `x_test = decay*x_test + (1-decay)*x` after every update, corrected for its start.

    The mean of the weights x_1 to x_t after t updates, x_i weighted by `decay^(t-i)`. Begun at 0 that recursion gives
    `1 - decay^t` times the mean, so the share of x_t is `(1-decay) / (1-decay^t)`, and the random start has none; 1/t
    where `decay` is 1, the mean of all weights so far. The number of updates is the schedule's, which moves on before
    this is updated. torch's AveragedModel begins at the first weights, and asks the device a question at every update.

    The lectures call it the Polyak average; that of Polyak and Juditsky 1992 is the plain mean, `decay` 1. Source:
    CS231n lecture 7 (0.995, without correction); the correction as of Adam's means, Kingma and Ba 2015, section 3.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, decay: Fraction = 0.995) -> None:
        super().__init__(network)
        self.schedule = schedule
        self.decay = decay

    def due(self) -> tuple[float, bool]:
        step = self.schedule.num_steps
        return 1 / step if self.decay == 1 else (1 - self.decay) / (1 - self.decay**step), False


class Lookahead(WeightAverage):
    """`slow = d*slow + (1-d)*x; x = slow` every `every_steps` updates; `d = decay * (t/T)^power` after t updates of T.

    So, unlike an average, it changes the trained weights x. Before the first multiple of `every_steps` at or after
    `start_epochs`, slow is x. The number of updates is the schedule's, which moves on before this is updated.
    Source: Zhang et al. 2019, algorithm 1, with alpha `1 - decay` and power 0; the power, the late start and
    `return_each_epoch` are of Jordan 2024, arXiv 2404.00498.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        every_steps: PositiveInt = 5,
        decay: Fraction = 0.5,
        power: NonNegative = 0.0,
        start_epochs: Duration = 0,
        return_each_epoch: bool = False,
    ) -> None:
        super().__init__(network)
        self.schedule = schedule
        self.every_steps = every_steps
        self.decay = decay
        self.power = power
        self.start = -(-schedule.curve.steps(start_epochs) // every_steps) * every_steps
        self.return_each_epoch = return_each_epoch

    def due(self) -> tuple[float, bool]:
        step, curve = self.schedule.num_steps, self.schedule.curve
        if step <= self.start:
            return 1.0, False
        if step % self.every_steps == 0:
            return 1 - self.decay * (step / curve.total_steps) ** self.power, True
        return 0.0, self.return_each_epoch and step % curve.steps_per_epoch == 0


class SWA(WeightAverage):
    """Stochastic weight averaging: the mean of the weights at the ends of epochs, from `start_epochs` on.

    Before, it is the trained weights. Normalization statistics are recomputed over the training images whenever it is
    scored, for those of the trained weights do not fit it. Source: Izmailov et al. 2018, algorithm 1.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        start_epochs: Duration = "75%",
        every_epochs: PositiveInt = 1,
    ) -> None:
        super().__init__(network)
        self.schedule = schedule
        self.every = every_epochs * schedule.curve.steps_per_epoch
        self.first = max(1, -(-schedule.curve.steps(start_epochs) // self.every))  # end of so many, the first averaged

    def due(self) -> tuple[float, bool]:
        step = self.schedule.num_steps
        if step <= self.first * self.every:
            return 1.0, False
        return (1 / (step // self.every - self.first + 1) if step % self.every == 0 else 0.0), False

    def before_scoring(self, batches: Callable[[], Iterable[Any]]) -> None:
        if self.schedule.num_steps > self.first * self.every:
            recompute_statistics(self.network, batches(), self.held)


class Snapshots:
    """Copies of the weights at the bottoms of a cyclic schedule; together they are an ensemble.

    The training and its validation use the trained weights; `runner test --weights snapshots` averages the class
    probabilities of the copies. The latest `num_snapshots` are kept. Source: Huang et al. 2017.

    Raises:
        ValueError: the schedule is not cyclic.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, num_snapshots: PositiveInt = 5) -> None:
        if not schedule.curve.is_cyclic:
            raise ValueError("average=snapshots needs a cyclic schedule; choose schedule=warm_restarts or cyclic")
        self.network = network
        self.schedule = schedule
        self.num_snapshots = num_snapshots
        self.snapshots: list[dict[str, Tensor]] = []

    def update(self) -> None:
        if self.schedule.curve.is_bottom(self.schedule.num_steps - 1):  # that of the update just made
            self.snapshots.append({name: value.detach().clone() for name, value in self.network.state_dict().items()})
            del self.snapshots[: -self.num_snapshots]

    def before_scoring(self, batches: Callable[[], Iterable[Any]]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {SNAPSHOTS: [dict(one) for one in self.snapshots]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.snapshots = [dict(one) for one in state[SNAPSHOTS]]


def scored_weights(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Of a saved state, the weights whose scores count: the averaged ones, where the run averages as it trains."""
    average: dict[str, Any] | None = saved["average"]
    weights: dict[str, Any] = saved["network"]
    return average if average and SNAPSHOTS not in average else weights


@torch.no_grad()
def recompute_statistics(network: nn.Module, batches: Iterable[Any], held: Collection[str] = ()) -> None:
    """Set the statistics of batch normalization to the means over these batches of images and labels.

    Everything else in the network stays in evaluation mode, so no noise is drawn. A network without such layers needs
    no pass; layers `held`, by name, keep theirs. Source: Izmailov et al. 2018, section 3.2.
    """
    norms = [
        layer
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats and name not in held
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = network.training
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for images, *_ in batches:
        network(images)
    network.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _floats(network: nn.Module) -> list[Tensor]:
    """Parameters and floating buffers, saved or not: those that a forward pass reads."""
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]


def _counters(network: nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if not buffer.is_floating_point()]
