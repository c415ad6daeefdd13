"""Hydra's errors in one line, by the English of its messages; a message that is not known is shown as it is."""

import pytest
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf.errors import ConfigKeyError

import runner
from runner.config.errors import one_line
from runner.errors import UserError


def line(words, command="train"):
    with pytest.raises(UserError) as raised:
        runner.config.compose(words, command)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_a_key_that_nothing_resembles_points_to_the_options():
    assert line(["zzz.qqq=3"]) == "zzz.qqq: no such key; see runner options or runner train --cfg job"


def test_a_place_for_an_option_is_answered_with_the_option_alone():
    assert line(["model@other=mlp"]) == "model@other: no such key; leave @other out"


def test_an_option_of_an_extra_names_the_extra():
    text = line(["hydra/launcher=submitit_slurm"])
    assert text == "hydra/launcher=submitit_slurm: needs an extra; install it with: pip install -e '.[slurm]'"


@pytest.mark.parametrize("group", ["reg", "augment", "average"])
def test_null_is_answered_with_none(group):
    assert line([f"{group}=null"]) == f"{group}: null is no option; use {group}=none"


def test_a_range_is_answered_with_runner_sweep():
    assert line(["optimizer.lr=interval(1e-5,1)"]) == (
        "config: a range is searched by runner sweep; runner train -m takes values, as in seed=1,2,3"
    )


@pytest.mark.parametrize("value", ["1e-3,1e-2", "range(1,4)"])
def test_several_values_are_answered_with_the_flag_that_trains_each(value):
    word = f"optimizer.lr={value}"
    assert line(["seed=1", word]) == (
        f"{word}: several values are several runs; runner train -m {word} trains each, runner sweep searches"
    )


@pytest.mark.parametrize("made", [HydraException, ConfigCompositionException, ConfigKeyError])
def test_a_message_of_hydra_that_is_not_known_is_shown_in_one_line(made):
    """What is left when a new Hydra or OmegaConf words its errors otherwise."""
    error = made("Nothing known\n  about this")
    error.__cause__ = ValueError("and\nits cause")
    answer = one_line(error, ["seed=1"], lambda words: runner.compose(words))
    assert isinstance(answer, UserError)
    assert str(answer) == "config: Nothing known about this and its cause"


def test_an_error_of_our_own_stays_as_it_is():
    error = ValueError("of a class")
    assert one_line(error, [], lambda words: runner.compose(words)) is error


def test_a_word_in_a_users_folder_counts_as_an_option(tmp_path, monkeypatch):
    (tmp_path / "reg").mkdir()
    (tmp_path / "reg" / "mine.yaml").write_text("mine: {strength: 1}\n")
    monkeypatch.setenv("RUNNER_CONFIGS", str(tmp_path))
    assert line(["reg.mine.strength=3"]).startswith("reg.mine.strength: mine is not chosen")


@pytest.fixture
def my_model(tmp_path, monkeypatch):
    """A user's option that builds on one of runner's, with a value that the environment gives."""
    (tmp_path / "model").mkdir()
    content = "defaults: [mlp, _self_]\nhidden: ${oc.env:WIDTHS_OF_MINE}\nmy_own: 1\n"
    (tmp_path / "model" / "mine.yaml").write_text(content)
    monkeypatch.setenv("RUNNER_CONFIGS", str(tmp_path))


def test_an_unknown_key_is_answered_where_a_value_of_the_config_is_not_known_yet(my_model):
    assert line(["model=mine", "model.hiden=3"]) == "model.hiden: no such key; did you mean 'model.hidden'?"


@pytest.mark.parametrize(("key", "options"), [("hidden", ["convnet", "mine", "mlp"]), ("my_own", ["mine"])])
def test_a_users_option_has_the_keys_of_what_it_builds_on(my_model, key, options):
    text = line(["model=linear", f"model.{key}=3"])
    assert text == (
        f"model.{key}: {key} is a key of model={', '.join(options)}; choose that first, as in model={options[0]}"
    )
