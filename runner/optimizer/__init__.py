"""Optimizers: each word of the group is a function here that makes the optimizer of one trial."""

from runner.optimizer.groups import Groups, grouped
from runner.optimizer.muon import Muon, muon
from runner.optimizer.solvers import adagrad, adam, adamw, lbfgs, momentum, nesterov, rmsprop, sgd
from runner.optimizer.uncorrected import UncorrectedAdam

__all__ = [
    "Groups",
    "Muon",
    "UncorrectedAdam",
    "adagrad",
    "adam",
    "adamw",
    "grouped",
    "lbfgs",
    "momentum",
    "muon",
    "nesterov",
    "rmsprop",
    "sgd",
]
