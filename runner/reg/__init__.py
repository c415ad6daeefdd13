"""Regularisers: each word of the group is a class here; all promise what `Regulariser` says."""

from runner.reg.dropout import Dropout
from runner.reg.penalties import L1, L2
from runner.reg.regulariser import Regulariser, overrides
from runner.reg.targets import LabelSmoothing

__all__ = ["L1", "L2", "Dropout", "LabelSmoothing", "Regulariser", "overrides"]
