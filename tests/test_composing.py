"""What tests compose once is what Hydra composes."""

import pytest
from omegaconf import OmegaConf

from runner import config
from runner.errors import UserError
from tests.composing import composing_anew

LINES = {
    "nothing said": [],
    "options and values": ["optimizer=adam", "optimizer.lr=0.3", "model=mlp", "model.hidden=[8,4]", "seed=3"],
    "several options": ["reg=[dropout,l2]", "reg.l2.strength=0.3", "augment=[]"],
    "an experiment": ["experiment=airbench94", "data.root=photos"],
    "keys added and deleted": ["+model.more=1", "~reg", "++data.other={a: [1, 2]}"],
    "a group as a dictionary": ["optimizer={lr: 0.5}"],
    "Hydra's own keys": ["hydra.job.name=x", "hydra/launcher=basic"],
    "the same options, other values": ["optimizer=adam", "optimizer.lr=0.7", "model=mlp"],
}


def composed(words):
    cfg, choices = config.compose_with_choices(words)
    return OmegaConf.to_yaml(cfg), choices, OmegaConf.is_struct(cfg)


@pytest.mark.parametrize("name", LINES)
def test_a_config_is_the_same_the_first_time_and_later(name):
    with composing_anew():
        expected = composed(LINES[name])
    assert composed(LINES[name]) == expected
    assert composed([*LINES[name], "name=x"]) != expected  # of options that are kept
    assert composed(LINES[name]) == expected


def test_a_config_that_a_test_changes_is_its_own():
    config.compose(["seed=5"]).optimizer.lr = 9
    assert config.compose(["seed=5"]).optimizer.lr != 9


@pytest.mark.parametrize("word", ["optimizer=adm", "optimizer.lrr=1", "reg=[l2,x]", "optimizer=3", "~optimizer=adam"])
def test_a_mistake_is_the_same_the_first_time_and_later(word):
    with composing_anew(), pytest.raises(UserError) as expected:
        config.compose([word])
    for _ in range(2):
        with pytest.raises(UserError) as found:
            config.compose([word])
        assert str(found.value) == str(expected.value)
