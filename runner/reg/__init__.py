"""Regularizers: each word of the group is a class here; all promise what `Regularizer` says."""

from typing import Any

from runner import renamed
from runner.reg.dropout import DropConnect, Dropout
from runner.reg.max_norm import MaxNorm
from runner.reg.mixing import CutMix, Cutout, Mixup
from runner.reg.penalties import L1, L2, ElasticNet
from runner.reg.pooling import FractionalMaxPool
from runner.reg.regularizer import Regularizer, overrides
from runner.reg.stochastic_depth import StochasticDepth
from runner.reg.targets import LabelSmoothing

__all__ = [
    "L1",
    "L2",
    "CutMix",
    "Cutout",
    "DropConnect",
    "Dropout",
    "ElasticNet",
    "FractionalMaxPool",
    "LabelSmoothing",
    "MaxNorm",
    "Mixup",
    "Regularizer",
    "StochasticDepth",
    "overrides",
]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"{__name__} has no {name}{renamed.hint(renamed.NAMES, name)}")
