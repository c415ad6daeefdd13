"""Learning-rate schedules: each word of the group is a curve here; `Schedule` drives an optimizer along it."""

from runner.schedule.curves import (
    WSD,
    Constant,
    Curve,
    Exponential,
    InverseTime,
    Linear,
    MultiStep,
    Plateau,
    Polynomial,
    Step,
)
from runner.schedule.cycles import Cosine, Cyclic, OneCycle, Triangle, WarmRestarts
from runner.schedule.driver import Schedule
