"""Optimizers: each word of the group is a function here that makes the optimizer of one trial."""

from runner.optimizer.factories import adagrad, adam, adamw, lbfgs, momentum, muon, nesterov, rmsprop, sgd
from runner.optimizer.own import Muon, UncorrectedAdam
from runner.optimizer.param_groups import ParamGroups, freezing_norms, grouped
