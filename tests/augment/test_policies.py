"""What policies draw."""

import torch

from runner.augment.policies import _coins


def test_a_coin_is_one_or_less_one_as_often():
    coins = _coins((2000, 2), torch.Generator().manual_seed(0))
    assert coins.unique().tolist() == [-1.0, 1.0]
    assert abs(coins.mean().item()) < 0.06  # three deviations are 0.047
