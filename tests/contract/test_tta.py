"""Every test-time augmentation: which pictures it takes, and the mean of the scores on them."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import resize, ten_crop

import runner
from runner.tta import MultiScale

IMAGES = torch.rand(3, 2, 28, 28, generator=torch.Generator().manual_seed(0))


def linear(size):
    """A linear network whose scores tell every picture from every other."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2 * size**2, 4)).requires_grad_(False)
    network[1].weight.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.05)
    return network


NETWORK = linear(28)


def tta(*words):
    return runner.build.tta(runner.compose(words))


def mean_of_probabilities(pictures):
    return torch.stack([NETWORK(picture).softmax(1) for picture in pictures]).mean(0)


def test_none_gives_the_networks_own_scores():
    assert torch.equal(tta("tta=none")(NETWORK, IMAGES), NETWORK(IMAGES))


def test_flip_averages_the_image_and_its_mirror_image():
    scores = tta("tta=flip")(NETWORK, IMAGES)
    torch.testing.assert_close(scores.exp(), mean_of_probabilities([IMAGES, IMAGES.flip(-1)]))


def test_ten_crop_takes_corners_center_and_mirror_images_of_the_enlarged_image():
    scores = tta("tta=ten_crop")(NETWORK, IMAGES)
    crops = ten_crop(resize(IMAGES, [32, 32], antialias=False), [28, 28])
    torch.testing.assert_close(scores.exp(), mean_of_probabilities(crops))


def test_ten_crop_of_224_pixels_cuts_from_256_as_published():
    # Krizhevsky et al. 2012, section 4.1: the corners and the center of 256 pixels, and their mirror images.
    ramp = torch.linspace(0, 1, 224).expand(1, 1, 224, 224)  # brightness is the column
    whole = nn.functional.interpolate(ramp, size=(256, 256), mode="bilinear", align_corners=False)[0, 0, 0]
    seen = [copy[0, 0, 0] for copy in tta("tta=ten_crop").copies(ramp)]
    starts = [0, 32, 0, 32, 16]
    torch.testing.assert_close(seen[:5], [whole[start : start + 224] for start in starts])
    torch.testing.assert_close(seen[5:], [(1 - whole)[start : start + 224] for start in starts])


def test_multi_scale_takes_ten_crops_at_each_of_the_five_published_sizes():
    # He et al. 2015, section 3.4: the short side is 224, 256, 384, 480 or 640 for a network of 224; here an eighth.
    sizes = [28, 32, 48, 60, 80]
    crops = [crop for size in sizes for crop in ten_crop(resize(IMAGES, [size, size], antialias=False), [28, 28])]
    assert len(crops) == 50
    torch.testing.assert_close(tta("tta=multi_scale")(NETWORK, IMAGES).exp(), mean_of_probabilities(crops))


def test_flip_translate_averages_scores_with_half_the_weight_on_the_moved_images():
    def scores(top, left):
        padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2), mode="reflect")
        picture = padded[:, :, 2 + top : 30 + top, 2 + left : 30 + left]
        return (NETWORK(picture) + NETWORK(picture.flip(-1))) / 2

    expected = scores(0, 0) / 2 + (scores(-2, -2) + scores(2, 2)) / 4
    torch.testing.assert_close(tta("tta=flip_translate", "tta.pixels=2")(NETWORK, IMAGES), expected)


def test_flip_translate_cannot_reflect_more_than_there_is():
    tta("tta=flip_translate", "tta.pixels=27")(NETWORK, IMAGES)
    with pytest.raises(runner.UserError, match=r"^tta.pixels: must be below the image's 28 pixels"):
        tta("tta=flip_translate", "tta.pixels=28")(NETWORK, IMAGES)


class TestMCDropout:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Flatten(), nn.Linear(2 * 28 * 28, 20), nn.BatchNorm1d(20), nn.Dropout(), nn.Linear(20, 4)
        )
        return made.requires_grad_(False).eval()

    def test_gives_the_same_scores_at_every_call_whatever_has_been_drawn(self, network):
        scores = []
        for _ in range(2):
            scores.append(tta("tta=mc_dropout", "tta.num_passes=5")(network, IMAGES))
            torch.rand(3)
        assert torch.equal(*scores)

    def test_leaves_the_global_draws_alone(self, network):
        before = torch.get_rng_state()
        tta("tta=mc_dropout", "tta.num_passes=5")(network, IMAGES)
        assert torch.equal(torch.get_rng_state(), before)

    def test_leaves_dropout_on_and_normalization_as_it_is(self, network):
        statistics = network[2].running_mean.clone()
        network[0].train()  # a part may be in another mode than the whole
        modes = [module.training for module in network.modules()]
        scores = tta("tta=mc_dropout", "tta.num_passes=5")(network, IMAGES)
        assert not torch.allclose(scores, network(IMAGES).log_softmax(1))
        assert torch.equal(network[2].running_mean, statistics)
        assert [module.training for module in network.modules()] == modes

    def test_is_the_mean_over_all_masks(self):
        # Two inputs of weight 1 and -1, each kept and doubled or dropped: scores 0, 2, -2 or 0 against 0.
        network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(2, 2, bias=False)).requires_grad_(False)
        network[2].weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
        scores = tta("tta=mc_dropout", "tta.num_passes=4000")(network.eval(), torch.ones(1, 2, 1, 1))
        first = np.mean([1 / (1 + np.exp(-score)) for score in (0, 2, -2, 0)])
        assert scores.exp()[0].tolist() == pytest.approx([first, 1 - first], abs=0.02)

    def test_takes_the_scores_alone_of_a_network_with_auxiliary_ones(self):
        class Two(nn.Module):
            def forward(self, images):
                return (images.mean(dim=(2, 3)), images.amax(dim=(2, 3))) if self.training else images.mean(dim=(2, 3))

        found = tta("tta=mc_dropout", "tta.num_passes=2")(nn.Sequential(nn.Dropout(0.0), Two()).eval(), IMAGES)
        torch.testing.assert_close(found, IMAGES.mean(dim=(2, 3)).log_softmax(1))

        cfg = runner.compose(["model=googlenet", "model.width=0.125", "data=digits"])
        network = runner.build.model(cfg).requires_grad_(False).eval()
        images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
        assert tta("tta=mc_dropout", "tta.num_passes=2")(network, images).shape == (2, 10)


@pytest.mark.parametrize("name", ["flip", "ten_crop", "multi_scale", "mc_dropout"])
def test_scores_are_log_probabilities(name):
    scores = tta(f"tta={name}")(NETWORK, IMAGES)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tta=ten_crop tta.scale=0.5", "tta.scale: must be at least 1, not 0.5"),
        ("tta=multi_scale tta.scales=[1,0.9]", "tta.scales: must be at least 1, not 0.9"),
        ("tta=mc_dropout tta.num_passes=0", "tta.num_passes: must be at least 1, not 0"),
        ("tta=flip_translate tta.pixels=0", "tta.pixels: must be at least 1, not 0"),
    ],
)
def test_a_wrong_value_names_its_key(word, message):
    with pytest.raises(runner.UserError, match=f"^{message}"):
        runner.config.check(runner.compose(word.split()))


def test_the_largest_scale_says_how_large_pictures_are_kept():
    assert MultiScale(scales=(1.5, 2.0, 1.0)).picture_scale == 2.0
    assert MultiScale(scales=()).picture_scale == 1.0
