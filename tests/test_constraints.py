"""Values against the annotations of the arguments that they are meant for."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from runner.constraints import (
    Duration,
    Fraction,
    FractionBelowOne,
    NonNegative,
    NonNegativeInt,
    OpenFraction,
    Positive,
    PositiveFraction,
    PositiveInt,
    duration_steps,
    problem,
)


@pytest.mark.parametrize(
    ("annotation", "inside", "outside"),
    [
        (Positive, [1e-300, 1e300], [0, -1e-300]),
        (NonNegative, [0, 1e300], [-1e-300]),
        (FractionBelowOne, [0, 0.999], [-0.001, 1]),
        (Fraction, [0, 1], [-0.001, 1.001]),
        (PositiveFraction, [0.001, 1], [0, 1.001]),
        (OpenFraction, [0.001, 0.999], [0, 1]),
        (NonNegativeInt, [0, 10**9], [-1]),
        (PositiveInt, [1, 10**9], [0]),
        (Duration, [0, "0 steps", "0%"], [-0.1, "-1 steps", "1e", "1 step s", ""]),
    ],
)
def test_bounds_hold_at_their_ends(annotation, inside, outside):
    assert [value for value in inside if problem(value, annotation) is not None] == []
    assert [value for value in outside if problem(value, annotation) is None] == []


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, float),
        (0.5, FractionBelowOne),
        (0, NonNegative),
        (None, int | None),
        ("a", Literal["a", "b"]),
        ([1, 2], Sequence[PositiveInt]),
        ([0.9, 0.999], tuple[FractionBelowOne, FractionBelowOne]),
        (3, Duration),
        ("500 steps", Duration),
        ("12.5%", Duration),
        (True, bool),
        ({}, dict[str, Any]),
        (object(), Any),
    ],
)
def test_fitting_values_are_no_problem(value, annotation):
    assert problem(value, annotation) is None


@pytest.mark.parametrize(
    ("value", "annotation", "said"),
    [
        ("fast", float, "must be a number, not 'fast'"),
        (True, float, "must be a number, not True"),
        (float("nan"), Positive, "must be a number, not nan"),
        (1.5, int, "must be a whole number, not 1.5"),
        (1, bool, "must be true or false, not 1"),
        (-1, Positive, "must be above 0, not -1"),
        (1.0, FractionBelowOne, "must be at least 0 and below 1, not 1.0"),
        (-1, NonNegativeInt, "must be at least 0, not -1"),
        (None, NonNegativeInt, "must be a whole number, not null"),
        ("x", int | None, "must be a whole number, not 'x'"),
        ("c", Literal["a", "b"], "must be one of 'a', 'b', not 'c'"),
        (3, Sequence[int], "must be a list such as [..], not 3"),
        ("12", Sequence[int], "must be a list such as [..], not '12'"),
        ([1, 0], Sequence[PositiveInt], "must be at least 1, not 0"),
        ([0.9], tuple[float, float], "must have 2 values, not [0.9]"),
        ("soon", Duration, "must be a number of epochs, or like '500 steps' or '10%', not 'soon'"),
        (-1, Duration, "must be a number of epochs, or like '500 steps' or '10%', not -1"),
        (3, dict[str, Any], "must be a mapping, not 3"),
        ([0], float | Sequence[PositiveInt] | None, "must be at least 1, not 0"),
        ("x", Sequence[PositiveInt] | None, "must be a list such as [..], not 'x'"),
    ],
)
def test_a_problem_is_said_in_words(value, annotation, said):
    assert problem(value, annotation) == said


def test_durations_are_epochs_steps_or_a_share():
    assert duration_steps(2, 100, 1000) == 200
    assert duration_steps("0.5 epochs", 100, 1000) == 50
    assert duration_steps("30 steps", 100, 1000) == 30
    assert duration_steps("5%", 100, 1000) == 50
    assert duration_steps("1 epoch", 100, 1000) == duration_steps(" 1 ", 100, 1000) == 100
    assert duration_steps("1 step", 100, 1000) == 1
    assert [duration_steps(value, 100, 1000) for value in (0.004, 0.006, "0.14%", "0.16%")] == [0, 1, 1, 2]  # nearest
    with pytest.raises(ValueError, match="no duration: 'soon'"):
        duration_steps("soon", 100, 1000)
