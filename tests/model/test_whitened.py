"""The whitening first layer, and that its filters come with the weights."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import runner
from runner import build
from runner.data import Synthetic
from runner.errors import UserError
from runner.init.initializers import Default, Dirac, He
from runner.model import WhitenedConvNet
from runner.model.whitened import Whitening

WORDS = ["model=whitened_convnet", "model.channels=[8,16]", "data=synthetic", "data.num_images=80"]
WORDS += ["data.image_size=12", "data.batch_size=20", "engine.device=cpu", "log.tensorboard=false"]


def smooth(num_images, size=12):
    small = torch.rand(num_images, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return F.interpolate(small, (size, size), mode="bilinear") * 2 - 1


def patches(images, kernel=2):
    return F.unfold(images, kernel).transpose(1, 2).flatten(0, 1).double()


class TestWhitening:
    images = smooth(40)

    def fitted(self, eps=5e-4):
        layer = Whitening(3, 2, eps)
        layer.fit(self.images.split(16))
        return layer

    def test_patches_come_out_with_unit_second_moments(self):
        with torch.no_grad():
            x = self.fitted(eps=1e-12)(self.images)
        first = x[:, :12].movedim(1, -1).flatten(0, -2).double()
        torch.testing.assert_close(first.T @ first / len(first), torch.eye(12).double(), rtol=0, atol=2e-3)

    def test_eps_bounds_the_filters_of_small_eigenvalues(self):
        seen = patches(self.images)
        eigenvalues = torch.linalg.eigvalsh(seen.T @ seen / len(seen)).flip(0)
        norms = self.fitted(eps=0.1).weight[:12].flatten(1).norm(dim=1).double()
        torch.testing.assert_close(norms, (eigenvalues + 0.1).rsqrt(), rtol=1e-5, atol=0)

    def test_the_second_half_is_the_negative_of_the_first(self):
        weight = self.fitted().weight
        assert torch.equal(weight[12:], -weight[:12])

    def test_filters_are_frozen_and_the_bias_is_trained_from_zero(self):
        layer = self.fitted()
        assert not layer.weight.requires_grad
        assert layer.bias.requires_grad
        assert not layer.bias.any()

    def test_chunks_make_no_difference(self):
        whole = Whitening(3, 2, 5e-4)
        whole.fit([self.images])
        torch.testing.assert_close(whole.weight, self.fitted().weight)


@pytest.mark.parametrize("make", [He(), Dirac(), Default()], ids=lambda make: type(make).__name__)
def test_no_initialization_touches_the_first_layer(make):
    network = WhitenedConvNet(3, 12, 10, channels=[4])
    network.first.fit([smooth(20)])
    nn.init.ones_(network.first.bias)
    before = copy.deepcopy(network.first)
    make(network)
    assert torch.equal(network.first.weight, before.weight)
    assert torch.equal(network.first.bias, before.bias)


def test_the_layers_of_the_record_for_32_pixels():
    network = WhitenedConvNet(3, 32, 10)
    x, sizes = torch.zeros(1, 3, 32, 32), []
    network.eval()
    x = network.activation(network.first(x))
    for group in network.groups:
        sizes.append(tuple(x.shape[1:]))
        x = group(x)
    assert [*sizes, tuple(x.shape[1:])] == [(24, 31, 31), (64, 15, 15), (256, 7, 7), (256, 3, 3)]
    assert network.pool(x).shape[2:] == (1, 1)
    norm = network.groups[0][2]
    assert (norm.momentum, norm.eps, norm.weight.requires_grad, norm.bias.requires_grad) == (0.4, 1e-12, False, True)
    assert [p.shape for p in network.parameters() if not p.requires_grad and p.ndim == 4] == [(24, 3, 2, 2)]


def test_without_whitening_the_first_layer_is_trained_as_the_others():
    made = build.training(runner.compose([*WORDS, "model.whiten=false"]))
    before = made.state.network.first.weight.clone()
    made.step(made.state, next(iter(made.train.epoch())))
    assert not torch.equal(made.state.network.first.weight, before)


def test_maxout_takes_each_filter_with_its_negative():
    network = WhitenedConvNet(3, 12, 10, channels=[4], activation="maxout").eval()
    network.first.fit([smooth(20)])
    x = network.first(smooth(3))
    torch.testing.assert_close(network.activation(x), x[:, :12].abs())


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(UserError, match=r"^model.kernel: must be at most the image's 12 pixels"):
        build.model(runner.compose([*WORDS, "model.kernel=13"]))


@pytest.mark.parametrize("words", [[], ["data.loading=workers", "data.num_workers=0"], ["seed=3", "augment=flip"]])
def test_the_filters_are_those_of_the_preprocessed_training_images(words):
    made = build.training(runner.compose([*WORDS, *words]))
    source = build.data(runner.compose(WORDS)).source("train")
    expected = Whitening(3, 2, 5e-4)
    expected.fit([made.state.preprocess(source.pixels / 255)])
    ours, theirs = made.state.network.first.weight, expected.weight
    # An eigenvector's sign is free.
    products = [torch.einsum("oi,oj->oij", *[weight.flatten(1)] * 2) for weight in (ours, theirs)]
    torch.testing.assert_close(*products, rtol=1e-3, atol=1e-3)


def test_whiten_images_bounds_how_many_are_looked_at():
    network, asked = WhitenedConvNet(3, 12, 10, channels=[4], whiten_images=7), []
    network.init_from_data(lambda count: asked.append(count) or [smooth(5)])
    assert asked == [7]
    made = build.training(runner.compose(WORDS))
    assert [len(chunk) for chunk in made.train.sample(7)] == [7]
    assert torch.equal(*(torch.cat(list(made.train.sample(7))) for _ in range(2)))


def test_a_trained_network_is_loaded_with_its_filters_and_no_images(train, monkeypatch):
    run = train(*WORDS, "engine.epochs=1")

    def read(self, split):
        raise AssertionError(f"read {split}")

    monkeypatch.setattr(Synthetic, "read", read)
    loaded = runner.load(run.folder).model()[-1]
    saved = torch.load(run.folder / "checkpoints/best.pt", weights_only=True)["state"]["network"]
    assert torch.equal(loaded.first.weight, saved["first.weight"])
    assert torch.equal(loaded.first.weight[:12], -loaded.first.weight[12:])


def test_max_norm_leaves_frozen_filters_as_they_are():
    made = build.training(runner.compose([*WORDS, "reg=max_norm", "reg.max_norm.max_norm=0.1"]))
    before = made.state.network.first.weight.clone()
    made.step(made.state, next(iter(made.train.epoch())))
    assert torch.equal(made.state.network.first.weight, before)
    assert made.state.network.linear.weight.norm(dim=1).max() <= 0.1 + 1e-6
