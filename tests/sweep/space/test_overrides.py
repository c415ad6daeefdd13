"""Ranges as they are written."""

from __future__ import annotations

import pytest

from runner.constraints import Range as Bounds
from runner.errors import UserError
from runner.sweep.space.overrides import add_functions, read
from runner.sweep.space.space import Choice, Range

add_functions()


def value(text, **options):
    (word,) = read([f"optimizer.lr={text}"], **options)
    return word.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0,1)", Range(0, 1)),
        ("int(interval(0,3))", Range(0, 3, integer=True)),
        ("interval(0.0,1.0)", Range(0, 1)),
        ("tag(log,interval(1e-5,1e-1))", Range(1e-5, 1e-1, "log")),
        ("int(tag(log,interval(16,256)))", Range(16, 256, "log", integer=True)),
        ("tag(log,int(interval(16,256)))", Range(16, 256, "log", integer=True)),
        ("zero_or(tag(log,interval(1e-5,1e-1)))", Range(1e-5, 1e-1, "log", zero=0.2)),
        ("one_minus(interval(0.5,0.999))", Range(0.5, 0.999, "one_minus_log")),
        ("one_minus(tag(log,interval(0.5,0.999)))", Range(0.5, 0.999, "one_minus_log")),
        ("tag(hard,interval(0.1,0.8))", Range(0.1, 0.8, least=0.1, most=0.8)),
        ("tag(hard,tag(log,interval(1e-3,1e-1)))", Range(1e-3, 1e-1, "log", least=1e-3, most=1e-1)),
        ("int(tag(hard,tag(log,interval(1,99))))", Range(1, 99, "log", integer=True, least=1, most=99)),
        ("tag(hard,one_minus(interval(0.5,0.9)))", Range(0.5, 0.9, "one_minus_log", least=0.5, most=0.9)),
        ("zero_or(tag(hard,tag(log,interval(0.1,1))))", Range(0.1, 1, "log", zero=0.2, least=0.1, most=1)),
        ("tag(hard,zero_or(tag(log,interval(0.1,1))))", Range(0.1, 1, "log", zero=0.2, least=0.1, most=1)),
        ("sgd,adam", Choice(("sgd", "adam"))),
        ("choice(1,2,3)", Choice(("1", "2", "3"))),
        ("range(1,4)", Choice(("1", "2", "3"))),
        ("[l2,dropout],none", Choice(("[l2,dropout]", "none"))),
        ("0.1", "0.1"),
    ],
)
def test_reads_hydras_syntax(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tag(log,interval(0,1))",
            "optimizer.lr: a log range needs bounds above zero, not 0; raise it, or write zero_or",
        ),
        ("tag(log,interval(-1,1))", "above zero, not -1"),
        ("interval(1e-1,1e-5)", "the lower bound 0.1 of the range is not below the upper 1e-05; swap them"),
        ("interval(1e-3,1e-3)", "a range from 0.001 to itself; give the value alone, optimizer.lr=0.001"),
        ("one_minus(interval(0.5,1))", "bounds below 1, not 1"),
        ("tag(lgo,interval(1,2))", "no such tag 'lgo'; did you mean 'log'"),
        ("interval(1,", "not a range"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_by_name(text, message):
    with pytest.raises(UserError) as error:
        value(text)
    assert message in str(error.value)


def test_the_later_word_of_a_key_counts():
    words = read(["a=1", "b=tag(log,interval(1,10))", "a=interval(0.5,2.5)"])
    assert [(word.key, word.value) for word in words] == [("b", Range(1, 10, "log")), ("a", Range(0.5, 2.5))]


def test_the_bounds_of_a_key_are_hard():
    range_ = value("interval(0.1,0.8)", bounds=lambda key: Bounds(0, 1, high_open=True))
    assert range_.least == 0
    assert 0.99 < range_.most < 1
