"""Losses from scores: each word of the group is a module here (or torch's own)."""

from runner.loss.distillation import Distillation
from runner.loss.scores import BinaryCrossEntropy, CrossEntropy, Focal, Hinge
