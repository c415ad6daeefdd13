"""The exponential moving average of the weights."""

from torch import nn

from runner.average.weight_average import WeightAverage
from runner.constraints import Fraction


class EMA(WeightAverage):
    """Polyak average: `x_test = decay*x_test + (1-decay)*x` after every update; validation and test use x_test.

    torch's AveragedModel is the same average, but asks the device a question at every update.
    """

    def __init__(self, network: nn.Module, decay: Fraction = 0.995) -> None:
        super().__init__(network)
        self.decay = decay

    def due(self) -> tuple[float, bool]:
        return 1 - self.decay, False
