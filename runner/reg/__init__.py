"""Regularizers: each word of the group is a class here; all promise what `Regularizer` says."""

from typing import Any

from runner import renamed
from runner.reg.mixing import CutMix, Cutout, LabelSmoothing, Mixup
from runner.reg.noise import DropConnect, Dropout, StochasticDepth
from runner.reg.pooling import FractionalMaxPool
from runner.reg.regularizer import Regularizer, overrides
from runner.reg.weights import L1, L2, ElasticNet, MaxNorm


def __getattr__(name: str) -> Any:
    raise AttributeError(f"{__name__} has no {name}{renamed.hint(renamed.NAMES, name)}")
