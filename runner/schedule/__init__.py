"""Learning-rate schedules: each word of the group is a curve here; `Schedule` drives an optimizer along it."""

from runner.schedule.curves import Constant, Cosine, Curve, Step
from runner.schedule.driver import Schedule

__all__ = ["Constant", "Cosine", "Curve", "Schedule", "Step"]
