"""Every view at test time: which pictures it takes, and the mean of their probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import resize, ten_crop

import runner

IMAGES = torch.rand(3, 2, 28, 28, generator=torch.Generator().manual_seed(0))
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(2 * 28 * 28, 4)).requires_grad_(False)


def views(*words):
    return runner.build.views(runner.compose(words))


def mean_of_probabilities(pictures):
    return torch.stack([NETWORK(picture).softmax(1) for picture in pictures]).mean(0)


def test_none_gives_the_networks_own_scores():
    assert torch.equal(views("views=none")(NETWORK, IMAGES), NETWORK(IMAGES))


def test_flip_averages_the_image_and_its_mirror():
    scores = views("views=flip")(NETWORK, IMAGES)
    torch.testing.assert_close(scores.exp(), mean_of_probabilities([IMAGES, IMAGES.flip(-1)]))


def test_ten_crop_takes_corners_centre_and_mirrors_of_the_enlarged_image():
    scores = views("views=ten_crop")(NETWORK, IMAGES)
    crops = ten_crop(resize(IMAGES, [32, 32], antialias=False), [28, 28])
    torch.testing.assert_close(scores.exp(), mean_of_probabilities(crops))


def test_multi_scale_takes_ten_crops_at_each_of_five_scales():
    chosen = views("views=multi_scale")
    pictures = list(chosen.of(IMAGES))
    assert len(pictures) == 50
    assert {picture.shape for picture in pictures} == {IMAGES.shape}
    torch.testing.assert_close(chosen(NETWORK, IMAGES).exp(), mean_of_probabilities(pictures))


def test_mirror_translate_averages_scores_with_half_the_weight_on_the_moved_images():
    def scores(top, left):
        padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2), mode="reflect")
        picture = padded[:, :, 2 + top : 30 + top, 2 + left : 30 + left]
        return (NETWORK(picture) + NETWORK(picture.flip(-1))) / 2

    expected = scores(0, 0) / 2 + (scores(-2, -2) + scores(2, 2)) / 4
    torch.testing.assert_close(views("views=mirror_translate", "views.pixels=2")(NETWORK, IMAGES), expected)


def test_mirror_translate_cannot_reflect_more_than_there_is():
    with pytest.raises(runner.UserError, match=r"^views.pixels: must be below the image's 28 pixels"):
        views("views=mirror_translate", "views.pixels=28")(NETWORK, IMAGES)


class TestNoisy:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(2 * 28 * 28, 20), nn.BatchNorm1d(20), nn.Dropout(0.5), nn.Linear(20, 4)
    )

    def test_leaves_dropout_on_and_normalisation_and_the_global_draws_alone(self):
        self.network.eval()
        statistics = self.network[2].running_mean.clone()
        torch.manual_seed(5)
        before = torch.get_rng_state()
        with torch.no_grad():
            one = views("views=noisy", "views.num_passes=5")(self.network, IMAGES)
            again = views("views=noisy", "views.num_passes=5")(self.network, IMAGES)
            plain = self.network(IMAGES).log_softmax(1)
        assert torch.equal(one, again)
        assert not torch.allclose(one, plain)
        assert torch.equal(self.network[2].running_mean, statistics)
        assert torch.equal(torch.get_rng_state(), before)
        assert not any(module.training for module in self.network.modules())

    def test_many_passes_approach_the_mean(self):
        self.network.eval()
        with torch.no_grad():
            few, many, more = (
                views("views=noisy", f"views.num_passes={n}")(self.network, IMAGES).exp() for n in (1, 400, 500)
            )
        assert (many - more).abs().max() < 0.1 * (few - more).abs().max() + 0.02


@pytest.mark.parametrize("name", ["flip", "ten_crop", "multi_scale", "noisy"])
def test_scores_are_log_probabilities(name):
    scores = views(f"views={name}")(NETWORK, IMAGES)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))
