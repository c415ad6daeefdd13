"""Initialization of weights: each word of the group is a class here."""

from runner.init.initializers import KEPT, SCORES, Auto, Default, Dirac, He, Initialization, Large, Small, Xavier
