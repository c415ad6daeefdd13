"""Numbers as people read them."""

import math

import pytest

from runner import formatting


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0"), (0.0123, "0.012"), (0.96, "0.96"), (1, "1.0"), (83.26, "83.3")]
)
def test_seconds_have_one_digit_after_the_point_or_two_that_count(seconds, text):
    assert formatting.seconds_text(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(3.21, "3.2 s"), (150, "2 min 30 s"), (7380, "2 h 3 min")])
def test_durations_are_said_as_a_person_does(seconds, text):
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03")])
def test_the_clock_has_hours_where_there_are_any(seconds, text):
    assert formatting.clock(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0000"),
        (0.12345, "0.1235"),
        (-1.5, "-1.5000"),
        (1e-4, "0.0001"),
        (80234567.0, "8.02e+07"),
        (9999.5, "9999.5000"),
        (10500, "1.05e+04"),
    ],
)
def test_a_number_has_four_digits_after_the_point_or_three_that_count(value, text):
    assert formatting.number(value) == text


def test_a_rate_has_thousands_apart_and_a_dash_where_it_is_not_known():
    assert (formatting.rate(12345.6), formatting.rate(math.nan)) == ("12,346", "-")


@pytest.mark.parametrize("text", ["=1+2", "@SUM(A1)", "+x", "-2+3", "\tx", '=HYPERLINK("x")'])
def test_a_cell_of_csv_is_no_formula(text):
    assert formatting.cell_of_csv(text) == "'" + text


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-5", "a=b", "", "-inf"])
def test_numbers_and_other_texts_are_cells_as_they_are(text):
    assert formatting.cell_of_csv(text) == text


def test_the_time_left_is_that_of_the_work_left_at_the_pace_so_far(monkeypatch):
    watch = formatting.WorkClock(10)
    monkeypatch.setattr("time.monotonic", lambda: watch.began + 60)
    assert (watch.elapsed(), watch.left(10), watch.left(8), watch.left(12)) == ("1:00 elapsed", "", "4:00 left", "")
