"""What `transfer=auto` picks, and the probes by which it does."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from runner.model import resnet
from runner.transfer import Auto, ridge_accuracy
from runner.transfer.choice import probed_stages, watched

NEAR, FAR = {"early": 0.5, "last": 0.8}, {"early": 0.8, "last": 0.6}


@pytest.mark.parametrize(
    ("images", "probes", "word", "kind"),
    [
        (20, NEAR, "head", "Head"),
        (500, NEAR, "last_blocks", "LastBlocks"),
        (20, FAR, "last_blocks", "LastBlocks"),
        (500, FAR, "all", "All"),
    ],
)
def test_it_picks_as_the_lectures_advise(images, probes, word, kind):
    choice = Auto(source="a", head="new").pick(images, probes)
    assert type(choice.transfer).__name__ == kind
    assert (choice.transfer.source, choice.transfer.head) == ("a", "new")
    assert choice.why.startswith(f"picked {word}: {images} images per class are {'few' if images < 50 else 'many'}")
    assert getattr(choice.transfer, "num_blocks", None) == {"LastBlocks": 1 if probes is NEAR else 2}.get(kind)
    assert ("near" in choice.why) == (probes is NEAR)
    assert ("transfer.stage=early" in choice.why) == (images == 20 and probes is FAR)


def test_an_earlier_stage_that_is_hardly_better_is_no_sign_of_distance():
    assert "near" in Auto().pick(20, {"early": 0.815, "last": 0.8}).why


@pytest.mark.parametrize("num_features", [5, 60])
def test_the_probe_is_scikit_learns_ridge_regression(num_features):
    rng = np.random.default_rng(0)
    X, V = rng.normal(size=(40, num_features)), rng.normal(size=(200, num_features))
    y, v = rng.integers(0, 3, 40), rng.integers(0, 3, 200)
    Z, W = (np.hstack([(part - X.mean(0)) / X.std(0), np.ones((len(part), 1))]) for part in (X, V))
    expected = (Ridge(alpha=0.01 * 40, fit_intercept=False).fit(Z, np.eye(3)[y]).predict(W).argmax(1) == v).mean()
    train, val = ((torch.tensor(features), torch.tensor(labels)) for features, labels in ((X, y), (V, v)))
    assert ridge_accuracy(train, val, 3) == pytest.approx(expected)


def test_stages_end_before_the_head_and_their_features_are_means_over_places():
    network = resnet(3, 32, 5)
    names = probed_stages(network)
    assert (len(names), names[-1]) == (3, "avgpool")
    early = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool, network.layer1)
    images = torch.randn(2, 3, 32, 32)
    with watched(network, ["layer1"]) as seen, torch.no_grad():
        network(images)
        torch.testing.assert_close(seen["layer1"], early(images).mean(dim=(2, 3)))
    assert network.training
