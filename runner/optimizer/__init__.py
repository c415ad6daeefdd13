"""Optimizers: each word of the group is a function here that makes the optimizer of one trial."""

from runner.optimizer.solvers import adam, adamw, momentum, nesterov, sgd

__all__ = ["adam", "adamw", "momentum", "nesterov", "sgd"]
