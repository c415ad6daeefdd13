# ruff: noqa: F401 -- what is imported here are the words of the group
"""Optimizers: each word of the group is a function here that makes the optimizer of one trial."""

from runner.optimizer.adam_uncorrected import UncorrectedAdam
from runner.optimizer.factories import adagrad, adam, adamw, lbfgs, momentum, nesterov, rmsprop, sgd
from runner.optimizer.muon import Muon, muon
from runner.optimizer.param_groups import ParamGroups, grouped
