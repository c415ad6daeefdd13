"""Optimizers: each word of the group is a function here that makes the optimizer of one trial."""

from runner.optimizer.factories import (
    adagrad,
    adam,
    adamw,
    lamb,
    lbfgs,
    lion,
    momentum,
    muon,
    nadam,
    nesterov,
    rmsprop,
    sgd,
)
from runner.optimizer.own import Lamb, Lion, Muon, NAdam, UncorrectedAdam
from runner.optimizer.param_groups import ParamGroups, freezing_norms, grouped, layers_of
