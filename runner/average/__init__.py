"""Averages of weights over the run: each word of the group is a class here."""

from runner.average.weight_average import (
    EMA,
    SNAPSHOTS,
    SWA,
    Lookahead,
    Snapshots,
    WeightAverage,
    recompute_statistics,
    scored_weights,
)
