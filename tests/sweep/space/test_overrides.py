"""Ranges as they are written."""

import pytest

from runner.constraints import Bounds
from runner.errors import UserError
from runner.sweep.space.overrides import merge_overrides, parse_conditional, parse_overrides, to_hydra_syntax
from runner.sweep.space.space import Categorical, Interval


def value(text, **options):
    return parse_overrides([f"optimizer.lr={text}"], **options)["optimizer.lr"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0,1)", Interval(0, 1)),
        ("int(interval(0,3))", Interval(0, 3, integer=True)),
        ("interval(0.0,1.0)", Interval(0, 1)),
        ("tag(log,interval(1e-5,1e-1))", Interval(1e-5, 1e-1, "log")),
        ("int(tag(log,interval(16,256)))", Interval(16, 256, "log", integer=True)),
        ("tag(log,int(interval(16,256)))", Interval(16, 256, "log", integer=True)),
        ("tag(log,zero_or,interval(1e-5,1e-1))", Interval(1e-5, 1e-1, "log", zero=0.2)),
        ("tag(one_minus,interval(0.5,0.999))", Interval(0.5, 0.999, "one_minus_log")),
        ("tag(log,one_minus,interval(0.5,0.999))", Interval(0.5, 0.999, "one_minus_log")),
        ("tag(hard,interval(0.1,0.8))", Interval(0.1, 0.8, hard_low=0.1, hard_high=0.8)),
        ("tag(hard,log,interval(1e-3,1e-1))", Interval(1e-3, 1e-1, "log", hard_low=1e-3, hard_high=1e-1)),
        ("int(tag(hard,log,interval(1,99)))", Interval(1, 99, "log", integer=True, hard_low=1, hard_high=99)),
        ("tag(hard,one_minus,interval(0.5,0.9))", Interval(0.5, 0.9, "one_minus_log", hard_low=0.5, hard_high=0.9)),
        ("tag(zero_or,hard,log,interval(0.1,1))", Interval(0.1, 1, "log", zero=0.2, hard_low=0.1, hard_high=1)),
        ("tag(hard,zero_or,log,interval(0.1,1))", Interval(0.1, 1, "log", zero=0.2, hard_low=0.1, hard_high=1)),
        ("uniform(0,1)", Interval(0, 1)),
        ("interval(1,4)", Interval(1, 4)),
        ("int(interval(1,2.5))", Interval(1, 2, integer=True)),
        ("uniform(0.5,2.0)", Interval(0.5, 2.0)),
        ("loguniform(1e-5,1e-1)", Interval(1e-5, 1e-1, "log")),
        ("randint(1,8)", Interval(1, 8, integer=True)),
        ("sgd,adam", Categorical(("sgd", "adam"))),
        ("choice(1,2,3)", Categorical(("1", "2", "3"))),
        ("tag(zero_or,choice(1,2))", Categorical(("0", "1", "2"))),
        ("tag(zero_or,choice(1,0))", Categorical(("1", "0"))),
        ("range(1,4)", Categorical(("1", "2", "3"))),
        ("[l2,dropout],none", Categorical(("[l2,dropout]", "none"))),
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
            "optimizer.lr: a log range needs bounds above zero, not 0; raise it, or add the tag zero_or",
        ),
        ("tag(log,interval(-1,1))", "above zero, not -1"),
        ("interval(1e-1,1e-5)", "the lower bound 0.1 of the range is not below the upper 1e-05; swap them"),
        ("interval(1,inf)", "the bounds of a range must be finite, not 1 and inf"),
        ("interval(nan,1)", "the bounds of a range must be finite, not nan and 1"),
        ("interval(1e-3,1e-3)", "a range from 0.001 to itself; give the value alone, optimizer.lr=0.001"),
        ("tag(one_minus,interval(0.5,1))", "bounds below 1, not 1"),
        ("tag(hard,tag(log,interval(1,2)))", "optimizer.lr: a tag within a tag is lost; write one with all words"),
        ("tag(log,int(tag(hard,interval(1,2))))", "a tag within a tag is lost"),
        ("zero_or(interval(1,2))", "optimizer.lr: zero_or(..) has become a tag; write tag(zero_or,interval(a,b))"),
        ("one_minus(tag(log,interval(0.1,0.2)))", "one_minus(..) has become a tag"),
        ("tag(lgo,interval(1,2))", "no such tag 'lgo'; did you mean 'log'"),
        ("interval(1,", "not a range"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_by_name(text, message):
    with pytest.raises(UserError) as error:
        value(text)
    assert message in str(error.value)


def test_the_later_word_of_a_key_counts():
    words = parse_overrides(["a=1", "b=tag(log,interval(1,10))", "a=interval(0.5,2.5)"])
    assert list(words.items()) == [("b", Interval(1, 10, "log")), ("a", Interval(0.5, 2.5))]


def test_the_bounds_of_a_key_are_hard():
    range_ = value("interval(0.1,0.8)", bounds=lambda key: Bounds(0, 1, high_open=True))
    assert range_.hard_low == 0
    assert 0.99 < range_.hard_high < 1


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.lr=loguniform(1e-5,1e-1)", "optimizer.lr=tag(log,interval(1e-5,1e-1))"),
        ("a=tag(hard,uniform(0,1))", "a=tag(hard,interval(0,1))"),
        ("a=choice(tag(log,x),tag(log,y))", "a=choice(tag(log,x),tag(log,y))"),  # one after another, none within
        ("name='loguniform of tag(tag('", "name='loguniform of tag(tag('"),
        ("my.loguniform(1,2)=3", "my.loguniform(1,2)=3"),
        ("optimizer=adam", "optimizer=adam"),
    ],
)
def test_names_of_distributions_are_written_as_hydra_knows_them(word, expected):
    assert to_hydra_syntax(word) == expected


def test_a_trials_override_takes_the_place_of_a_shared_one():
    shared = ["model=mlp", "+optimizer.lr=0.1", "seed=1"]
    assert merge_overrides(shared, ["optimizer.lr=0.2", "a=b"]) == ["model=mlp", "optimizer.lr=0.2", "seed=1", "a=b"]


def test_hydras_own_parser_is_left_as_it_is():
    from hydra.core.override_parser.overrides_parser import create_functions

    assert {"zero_or", "one_minus", "loguniform"}.isdisjoint(create_functions().functions)


def test_ranges_under_an_option_are_listed_by_group_and_option():
    words = ["optimizer.lr=interval(0.1,1)", "optimizer.momentum=0.9"]
    given = {"optimizer": {"sgd": words, "adam": []}, "reg": {"l2": ["a=1"]}}
    assert parse_conditional(given) == [("optimizer", "sgd", words), ("optimizer", "adam", []), ("reg", "l2", ["a=1"])]


@pytest.mark.parametrize(
    ("conditional", "message"),
    [
        (
            {"optimizer": ["optimizer.lr=1"]},
            "sweep.conditional.optimizer: must be OPTION: [KEY=RANGE, ...], not ['optimizer.lr=1']",
        ),
        (
            {"optimizer": {"adam": "optimizer.lr=1"}},
            "sweep.conditional.optimizer.adam: must be a list of KEY=RANGE, not 'optimizer.lr=1'",
        ),
        (
            {"optimizer": {"adam": {"optimizer.lr": 1}}},
            "sweep.conditional.optimizer.adam: must be a list of KEY=RANGE, not {'optimizer.lr': 1}",
        ),
    ],
)
def test_ranges_under_an_option_that_are_no_list_are_refused_by_name(conditional, message):
    with pytest.raises(UserError) as error:
        parse_conditional(conditional)
    assert str(error.value) == message


def test_a_range_is_never_widened_to_a_bound_that_no_value_may_have():
    open_, closed = Bounds(0, 1, low_open=True, high_open=True), Bounds(0, 1)
    for text, is_kept in (("interval(0.2,0.4)", True), ("tag(log,interval(0.2,0.4))", False)):
        range_ = value(text, bounds=lambda key: open_)
        assert (range_.hard_low > 0) is is_kept, "a logarithm has no 0 to be kept from"
        assert 0.99 < range_.hard_high < 1
        range_ = value(text, bounds=lambda key: closed)
        assert (range_.hard_low, range_.hard_high) == (0, 1)
