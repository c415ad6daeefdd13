"""What policies draw."""

import pytest
import torch

from runner.augment import AugMix, AutoAugment, RandAugment, TrivialAugment
from runner.augment.policies import _coins


def test_a_coin_is_one_or_less_one_as_often():
    coins = _coins((2000, 2), torch.Generator().manual_seed(0))
    assert coins.unique().tolist() == [-1.0, 1.0]
    assert abs(coins.mean().item()) < 0.06  # three deviations are 0.047


@pytest.mark.parametrize(
    "policy", [AugMix(), AutoAugment(), RandAugment(), TrivialAugment()], ids=lambda one: type(one).__name__
)
def test_what_is_drawn_is_decided_by_the_generator(policy):
    first, again, other = (policy.draw(20, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name in first:
        assert not torch.equal(first[name], other[name]), name
