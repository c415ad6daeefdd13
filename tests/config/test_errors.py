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
