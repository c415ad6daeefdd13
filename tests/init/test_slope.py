"""Which slope below 0 a network's activations share."""

import pytest
from torch import nn

from runner.init.initializers import saturates, slope


@pytest.mark.parametrize(
    ("layers", "shared"),
    [
        ([], 0.0),
        ([nn.Linear(2, 2)], 0.0),
        ([nn.LeakyReLU(0.2)], pytest.approx(0.2)),
        ([nn.PReLU()], 0.25),
        ([nn.PReLU(3, init=0.5)], 0.5),
        ([nn.PReLU(init=0.5), nn.LeakyReLU(0.5)], 0.5),
        ([nn.LeakyReLU(0.2), nn.LeakyReLU(0.3)], 0.0),
        ([nn.LeakyReLU(0.2), nn.ReLU()], 0.0),
        ([nn.PReLU(init=0.5), nn.Tanh()], 0.0),
    ],
)
def test_a_slope_is_that_of_all_activations_or_none(layers, shared):
    assert slope(nn.Sequential(*layers)) == shared


@pytest.mark.parametrize(
    ("layers", "does"),
    [
        ([nn.Tanh()], True),
        ([nn.Sigmoid(), nn.Tanh(), nn.Linear(2, 2)], True),
        ([nn.Tanh(), nn.ReLU()], False),
        ([nn.Linear(2, 2)], False),
    ],
)
def test_a_network_saturates_where_all_of_its_activations_are_bounded(layers, does):
    assert saturates(nn.Sequential(*layers)) is does
