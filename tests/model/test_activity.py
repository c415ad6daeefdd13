"""How many units of a layer's outputs never answer."""

import pytest
import torch
from torch import nn

from runner.model.activity import dead_share, describe, observed, saturated_share


@pytest.mark.parametrize(
    ("shape", "unit"),
    [((6, 3), (slice(None), 1)), ((6, 3, 4, 5), (slice(None), 1)), ((6, 4, 3), (..., 1))],
    ids=["vectors", "maps", "tokens"],
)
def test_a_unit_is_a_channel_or_the_last_axis_of_tokens(shape, unit):
    output = torch.ones(shape)
    assert dead_share(output) == 0
    output[unit] = 0
    assert dead_share(output) == pytest.approx(1 / 3)
    output[0] = 0  # of one image all: units that answer elsewhere are alive
    assert dead_share(output) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("num_kept", "kept"), [(0, []), (3, [0, 2, 4]), (100, [0, 1, 2, 3, 4, 5])])
def test_no_more_values_are_kept_than_asked_for_and_they_are_spread_over_all(num_kept, kept):
    layer = nn.Linear(3, 3, bias=False)
    nn.init.eye_(layer.weight)
    with observed(layer, with_gradients=True, num_kept=num_kept) as found:
        (layer(torch.arange(6.0).view(2, 3)) ** 2 / 2).sum().backward()
    (activity,) = found.values()
    assert activity.values.tolist() == activity.gradients.tolist() == kept
    assert (activity.mean, activity.kind, activity.is_weighted) == (2.5, "Linear", True)
    assert activity.gradient_norm == pytest.approx(sum(n * n for n in range(6)) ** 0.5)
    assert (activity.dead, activity.saturated) == (None, None)


def test_an_output_is_saturated_within_a_hundredth_of_the_range_at_either_end():
    output = torch.tensor([[0.0, 0.009, 0.011, 0.5], [0.6, 0.989, 0.991, 1.0]])
    assert saturated_share(output, 0.0, 1.0) == 4 / 8
    assert saturated_share(2 * output - 1, -1.0, 1.0) == 4 / 8


def test_gradients_are_noted_where_asked_for_and_where_there_are_any():
    layer = nn.Linear(2, 2)
    with observed(layer) as found:
        layer(torch.ones(1, 2)).sum().backward()
    assert found[layer].gradient_norm is None
    with observed(layer, with_gradients=True) as found, torch.no_grad():
        layer(torch.ones(1, 2))
    assert found[layer].gradient_norm is None


@pytest.mark.parametrize("kind", [nn.Sigmoid, nn.Tanh])
def test_an_activation_is_saturated_at_both_ends_of_its_own_range(kind):
    layer = kind()
    with observed(layer) as found:
        layer(torch.tensor([[-10.0, 0.0, 0.5, 10.0]]))
    assert found[layer].saturated == 2 / 4


def test_two_values_have_a_deviation_and_one_has_none():
    assert describe("a", nn.Identity(), torch.tensor([[1.0, 3.0]])).std == pytest.approx(2**0.5)
    assert describe("a", nn.Identity(), torch.tensor([[3.0]])).std == 0
