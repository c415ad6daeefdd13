# ruff: noqa: F401 -- what is imported here are the words of the group
"""Losses from scores: each word of the group is a module here (or torch's own)."""

from runner.loss.scores import CrossEntropy, Hinge
