"""Lookahead: slow weights that the trained ones are set to again and again."""

from torch import nn

from runner.average.weight_average import WeightAverage
from runner.constraints import Duration, Fraction, NonNegative, PositiveInt
from runner.schedule import Schedule


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
