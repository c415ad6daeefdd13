"""Noise inside a stacked network, against what each layer says it does."""

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from runner.engine.vectorized.noise import drawn, uniform
from runner.reg.noise import InputDropout


def at_rate(layer, rate):
    layer = drawn(layer)
    layer.rate.fill_(rate)
    return layer


def test_numbers_are_those_of_the_published_hash():
    """A run that goes on with another version draws the same: Wellons 2018, of words 0x1E3779B9 apart."""

    def scrambled(x):
        x = (x ^ (x >> 16)) * 0x21F0AAAD % 2**32
        x = (x ^ (x >> 15)) * 0x735A2D97 % 2**32
        return x ^ (x >> 15)

    key = 0xFEDCBA98
    expected = [scrambled((place * 0x1E3779B9 + key) % 2**32) / 2**32 for place in range(6)]
    found = uniform(torch.tensor(key), (2, 3))
    torch.testing.assert_close(found, torch.tensor(expected).view(2, 3), rtol=0, atol=1e-7)


def test_vanilla_dropout_multiplies_by_the_share_that_is_kept_at_evaluation():
    x = torch.tensor([[1.0, -2.0, 8.0]])
    vanilla, inverted = (at_rate(InputDropout(0.25, False, inverted).eval(), 0.25) for inverted in (False, True))
    assert vanilla(x).tolist() == [[0.75, -1.5, 6.0]]
    assert inverted(x).tolist() == x.tolist()


@pytest.mark.parametrize(("inverted", "kept"), [(True, 1 / 0.75), (False, 1.0)])
def test_dropout_zeroes_its_share_in_training(inverted, kept):
    found = at_rate(InputDropout(0.25, False, inverted).train(), 0.25)(torch.ones(100, 100))
    assert found.unique().tolist() == pytest.approx([0.0, kept])
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)  # more than 4 standard errors


@pytest.mark.parametrize(
    ("layer", "alike"),
    [
        (nn.Dropout(0.5), ()),
        (nn.Dropout2d(0.5), (2, 3)),
        (InputDropout(0.5, False, True), ()),
        (InputDropout(0.5, True, True), (2, 3)),
        (StochasticDepth(0.5, "row"), (1, 2, 3)),
        (StochasticDepth(0.5, "batch"), (0, 1, 2, 3)),
    ],
)
def test_what_is_dropped_together_is_one_element_channel_image_or_batch(layer, alike):
    dropped = at_rate(layer.train(), 0.5)(torch.ones(8, 16, 4, 4)) == 0
    together = {dim for dim in range(4) if (dropped == dropped.narrow(dim, 0, 1)).all()}
    assert together == set(alike)


def test_each_draw_and_each_layer_of_a_network_is_another():
    first, second = at_rate(nn.Dropout(0.5).train(), 0.5), at_rate(nn.Dropout(0.5).train(), 0.5)
    second.number = 1
    x = torch.ones(1000)
    one, two, other = first(x), first(x), second(x)
    for a, b in ((one, two), (one, other), (two, other)):
        assert (a == b).float().mean().item() == pytest.approx(0.5, abs=0.08)  # as often as by chance


def test_layers_without_noise_have_no_form_that_draws():
    assert drawn(nn.Linear(2, 2)) is None
