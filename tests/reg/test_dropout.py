"""Dropout of inputs: how much of them is dropped, and by what the rest is multiplied."""

import pytest
import torch

from runner.reg.noise import InputDropout


@pytest.mark.parametrize("whole_channels", [True, False])
@pytest.mark.parametrize(("inverted", "factor"), [(True, 1 / 0.2), (False, 1.0)])
def test_eight_of_ten_are_dropped_and_the_mean_is_kept_now_or_in_evaluation(whole_channels, inverted, factor):
    torch.manual_seed(0)
    layer = InputDropout(0.8, whole_channels, inverted)
    images = torch.ones(50, 40, 2, 2)
    out = layer(images)
    assert (out == 0).float().mean().item() == pytest.approx(0.8, abs=0.03)
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], factor))
    per_channel = (out != 0).float().mean(dim=(2, 3))
    assert bool(((per_channel == 0) | (per_channel == 1)).all()) is whole_channels
    torch.testing.assert_close(layer.eval()(images), images * (1.0 if inverted else 0.2))
