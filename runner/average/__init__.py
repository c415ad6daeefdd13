"""Averages of weights over the run: each word of the group is a class here."""

from runner.average.ema import EMA
from runner.average.lookahead import Lookahead
from runner.average.weight_average import WeightAverage

__all__ = ["EMA", "Lookahead", "WeightAverage"]
