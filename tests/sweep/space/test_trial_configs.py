"""Configs of points: composed once for each set of options, then filled with numbers."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runner import config
from runner.config import is_group
from runner.constraints import Bounds
from runner.errors import UserError
from runner.sweep.space.trial_configs import NUMBER, TrialConfigs, _value, combinations


@pytest.fixture
def configs():
    """`configs("model=mlp")`: of trials that share these overrides; `configs.composed` lists what was composed."""

    def make(*shared, trust=True):
        def compose(words):
            make.composed.append(words)
            return config.compose_with_choices(words)

        return TrialConfigs(compose, list(shared), trust)

    make.composed = []
    return make


def test_a_point_sets_its_keys_beside_what_all_share(configs):
    made = configs("model=mlp", "optimizer=sgd")
    cfg, choices = made.of({"optimizer": "adam", "optimizer.lr": "0.5", "reg": "[l2,dropout]", "model.hidden": "[8,4]"})
    assert (cfg.optimizer._target_, cfg.optimizer.lr) == ("runner.optimizer.adam", 0.5)
    assert list(cfg.model.hidden) == [8, 4]
    assert (choices["model"], choices["optimizer"], choices["reg"]) == ("mlp", "adam", "l2,dropout")


def test_options_are_composed_once_and_points_do_not_share_their_numbers(configs):
    made = configs("model=mlp")
    first, _ = made.of({"optimizer.lr": "0.5"})
    second, _ = made.of({"optimizer.lr": "0.25"})
    assert (first.optimizer.lr, second.optimizer.lr) == (0.5, 0.25)
    made.of({"optimizer": "adam"})
    made.of({"optimizer": "adam", "optimizer.lr": "0.125"})
    assert configs.composed == [["model=mlp"], ["model=mlp", "optimizer=adam"]]


def test_a_trial_has_no_part_of_the_sweep_or_of_its_job(configs):
    def compose(words):
        cfg, choices = config.compose_with_choices(words, "sweep")
        return cfg, {**choices, "sweep": "lr"}

    cfg, choices = TrialConfigs(compose, ["sweep=lr"]).of({})
    assert "sweep" not in cfg
    assert "sweep" not in choices
    assert "optimizer" in cfg


def test_a_key_that_an_override_adds_is_composed(configs):
    cfg, _ = configs("model=mlp").of({"+optimizer.momentum": "0.5"})
    assert cfg.optimizer.momentum == 0.5


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("reg.l2.strength", "reg.l2.strength: no such key while l2 is not chosen; choose it, as in reg=l2"),
        ("optimizer.lrr", "optimizer.lrr: no such key; did you mean 'optimizer.lr'?"),
        ("model.hiden[model=mlp]", "model.hiden[model=mlp]: no such key; did you mean 'model.hidden'?"),
    ],
)
def test_a_key_that_there_is_not_is_refused_with_the_remedy(configs, key, message):
    with pytest.raises(UserError) as error:
        configs("model=mlp").of({key: "1"})
    assert str(error.value) == message


@pytest.mark.parametrize("key", ["reg.l3.strength", "regg.l2.strength"])
def test_an_option_that_does_not_exist_is_not_recommended(configs, key):
    with pytest.raises(UserError, match=f"^{key}: no such key") as error:
        configs("model=mlp").of({key: "1"})
    assert "is not chosen" not in str(error.value)


def test_foreign_classes_are_refused_unless_trusted(configs):
    words = ["model=mlp", "loss._target_=hostile.Loss"]
    with pytest.raises(UserError, match=r"^loss\._target_: hostile\.Loss is not one of runner's own classes"):
        configs(*words, trust=False).of({})
    cfg, _ = configs(*words).of({})
    assert cfg.loss._target_ == "hostile.Loss"


def test_a_key_can_be_set_where_its_option_is_chosen(configs):
    made = configs("model=mlp")
    assert made.has("optimizer.lr", [])
    assert made.has("optimizer", [])
    assert made.has("+anything", [])
    assert not made.has("optimizer.momentum", ["optimizer=sgd"])
    assert made.has("optimizer.momentum", ["optimizer=momentum"])
    assert made.choices(["optimizer=momentum"])["optimizer"] == "momentum"


def test_the_bounds_of_a_key_are_those_of_its_argument_under_the_first_option_that_has_it(configs):
    made = configs("model=mlp")
    options = {"optimizer": ["sgd", "momentum"], "reg": ["none", "dropout"]}
    assert made.bounds(options, "reg.dropout.p") == Bounds(0, 1, high_open=True)
    assert made.bounds(options, "optimizer.momentum") == Bounds(0, 1, high_open=True)
    assert made.bounds({}, "reg.dropout.p") is None
    assert made.bounds(options, "optimizer") is None
    assert made.bounds(options, "model.activation") is None


def test_combinations_are_of_groups_alone_and_of_very_many_the_first():
    options = {"optimizer": ["sgd", "adam"], "optimizer.lr": ["0.1", "0.2"], "reg": ["none", "l2"]}
    assert combinations(options) == [
        {"optimizer": one, "reg": other} for one in ("sgd", "adam") for other in ("none", "l2")
    ]
    assert combinations({"optimizer.lr": ["1"]}) == [{}]
    many = combinations({"optimizer": [str(n) for n in range(100)], "reg": ["a", "b", "c"]})
    assert len(many) == 256
    assert many[-1] == {"optimizer": "85", "reg": "a"}


def test_a_group_of_the_users_own_is_one_too(tmp_path, monkeypatch):
    (tmp_path / "own/mine").mkdir(parents=True)
    assert not is_group("mine")
    monkeypatch.setenv("RUNNER_CONFIGS", str(tmp_path / "own"))
    assert is_group("mine")
    assert is_group("optimizer")


NUMBERS = ["0", "-3", "7", "12345678901234567890", "0.5", "-0.25", "1e-05", "1.5e3", "2e10", "100.0", "-1.7e-308"]
OTHERS = [
    "007",
    ".5",
    "1.",
    "1E5",
    "1e+5",
    "+3",
    "1_000",
    "inf",
    "nan",
    "true",
    "null",
    "adam",
    "[1,2]",
    "5%",
    "-0",
    "-0.0",
]


@pytest.mark.parametrize("text", [*NUMBERS, *OTHERS])
def test_numbers_are_read_as_hydra_reads_them(text):
    expected = OverridesParser.create().parse_override(f"optimizer.lr={text}").value()
    found = _value("optimizer.lr", text)
    assert (type(found), repr(found)) == (type(expected), repr(expected))
    if text in NUMBERS:
        assert NUMBER.fullmatch(text), "without its parser"
