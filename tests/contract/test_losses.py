"""Every loss: its formula, its value at random initialization, and class probabilities as targets."""

import math

import numpy as np
import pytest
import torch

import runner
from runner import config
from runner.errors import UserError
from runner.loss import BinaryCrossEntropy, CrossEntropy, Focal, Hinge
from runner.loss.scores import weights_of_classes

K = 10


def cross_entropy(scores, label):
    return -math.log(math.exp(scores[label]) / sum(math.exp(s) for s in scores))


def hinge(scores, label):
    return sum(max(0.0, s - scores[label] + 1) for j, s in enumerate(scores) if j != label)


def bce(scores, label):
    chances = [1 / (1 + math.exp(-s)) for s in scores]
    return -sum(math.log(q if j == label else 1 - q) for j, q in enumerate(chances)) / K


def focal(scores, label):
    p = math.exp(scores[label]) / sum(math.exp(s) for s in scores)
    return -((1 - p) ** 2) * math.log(p)


LOSSES = {
    "cross_entropy": (CrossEntropy, cross_entropy),
    "hinge": (Hinge, hinge),
    "bce": (BinaryCrossEntropy, bce),
    "focal": (Focal, focal),
}
EXPECTED = [("cross_entropy", math.log(K)), ("hinge", K - 1.0), ("bce", math.log(2))]
EXPECTED += [("focal", (1 - 1 / K) ** 2 * math.log(K))]


def test_every_word_is_held_to_a_formula():
    assert {path.stem for path in (config.folder() / "loss").glob("*.yaml")} - {"distillation"} == LOSSES.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_over_a_batch_equals_the_formula(name):
    make, formula = LOSSES[name]
    scores = torch.randn(16, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(16) % K
    rows = zip(scores.tolist(), labels.tolist(), strict=True)
    assert make()(scores, labels).item() == pytest.approx(sum(formula(s, y) for s, y in rows) / 16)


@pytest.mark.parametrize("name", LOSSES)
def test_class_probabilities_give_the_expected_loss(name):
    make, formula = LOSSES[name]
    numbers = torch.Generator().manual_seed(1)
    scores = torch.randn(8, K, generator=numbers, dtype=torch.float64)
    targets = torch.rand(8, K, generator=numbers, dtype=torch.float64).softmax(1)
    rows = zip(scores.tolist(), targets.tolist(), strict=True)
    expected = sum(p * formula(s, y) for s, row in rows for y, p in enumerate(row)) / 8
    assert make()(scores, targets).item() == pytest.approx(expected)


def test_the_lectures_example_of_the_hinge_loss():
    scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    assert Hinge()(scores, torch.tensor([0, 1, 2])).item() == pytest.approx((2.9 + 0 + 12.9) / 3)


@pytest.mark.parametrize(("name", "expected"), EXPECTED)
def test_the_loss_at_a_small_random_start_is_what_the_lecture_says(name, expected):
    training = runner.build.training(runner.compose([f"loss={name}", "model=linear", "init=small"]))
    loss, _ = training.step(training.state, next(training.train.epoch()))
    assert loss.item() == pytest.approx(expected, rel=0.05)


WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.0, 1.0, 0.25, 1.0, 1.5, 1.0]


@pytest.mark.parametrize("name", LOSSES)
def test_class_weights_multiply_the_loss_of_each_image(name):
    make, formula = LOSSES[name]
    scores = torch.randn(16, K, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = torch.arange(16) * 7 % K
    rows = zip(scores.tolist(), labels.tolist(), strict=True)
    expected = sum(WEIGHTS[y] * formula(s, y) for s, y in rows) / 16
    weighted = make(class_weights=WEIGHTS).double()
    assert weighted(scores, labels).item() == pytest.approx(expected)
    one_hot = torch.eye(K, dtype=torch.float64)[labels]
    assert weighted(scores, one_hot).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "hinge"])
def test_class_weights_of_probable_classes_are_expected_too(name):
    make, formula = LOSSES[name]
    numbers = torch.Generator().manual_seed(3)
    scores = torch.randn(8, K, generator=numbers, dtype=torch.float64)
    targets = torch.rand(8, K, generator=numbers, dtype=torch.float64).softmax(1)
    rows = zip(scores.tolist(), targets.tolist(), strict=True)
    expected = sum(p * WEIGHTS[y] * formula(s, y) for s, row in rows for y, p in enumerate(row)) / 8
    assert make(class_weights=WEIGHTS).double()(scores, targets).item() == pytest.approx(expected)


def test_a_mixed_image_has_the_mean_weight_of_its_classes_in_binary_cross_entropy():
    scores = torch.randn(1, 3, dtype=torch.float64)
    targets = torch.tensor([[0.25, 0.75, 0.0]], dtype=torch.float64)
    weighted = BinaryCrossEntropy(class_weights=[2.0, 4.0, 1.0]).double()(scores, targets)
    assert weighted.item() == pytest.approx(3.5 * BinaryCrossEntropy()(scores, targets).item())


def test_binary_cross_entropy_may_sum_over_classes_and_take_all_that_is_in_an_image():
    scores = torch.randn(4, K, dtype=torch.float64)
    targets = torch.zeros(4, K, dtype=torch.float64)
    targets[:, 2], targets[:, 5] = 0.7, 0.3
    both = (targets > 0).double()
    # The formula by hand, with softplus(-s) = -log q and softplus(s) = -log(1 - q).
    by_hand = (both * (-scores).exp().log1p() + (1 - both) * scores.exp().log1p()).sum(1).mean()
    loss = BinaryCrossEntropy(sum_classes=True, target_threshold=0.2)
    assert loss(scores, targets).item() == pytest.approx(by_hand.item())
    assert BinaryCrossEntropy(target_threshold=0.2)(scores, targets).item() == pytest.approx(by_hand.item() / K)
    assert loss(scores, torch.tensor([1, 2, 3, 4])).item() == pytest.approx(
        K * BinaryCrossEntropy()(scores, torch.tensor([1, 2, 3, 4])).item()
    )


def test_focal_without_focus_is_cross_entropy_and_its_gradient_is_finite_at_certainty():
    scores, labels = torch.randn(16, K), torch.arange(16) % K
    torch.testing.assert_close(Focal(gamma=0)(scores, labels), CrossEntropy()(scores, labels))
    for gamma in (0.5, 1.0, 2.0):
        certain = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
        Focal(gamma)(certain, torch.tensor([0])).backward()
        assert certain.grad.isfinite().all()


def test_balanced_weights_are_those_of_the_training_split():
    words = ["data=digits", "loss.class_weights=balanced"]
    cfg = runner.compose(words)
    labels = runner.build.data(cfg).source("train").labels.tolist()
    expected = [len(labels) / (10 * labels.count(k)) for k in range(10)]
    assert len(set(expected)) > 1
    assert runner.build.loss(cfg).class_weights.tolist() == pytest.approx(expected)
    training = runner.build.training(cfg)
    images, targets = next(training.train.epoch())
    rows = zip(training.state.network(images).tolist(), targets.tolist(), strict=True)
    by_hand = sum(expected[y] * cross_entropy(s, y) for s, y in rows) / len(targets)
    loss, _ = training.step(training.state, (images, targets))
    assert loss.item() == pytest.approx(by_hand, rel=1e-4)


def test_accumulated_gradients_with_class_weights_are_those_of_the_whole_batch():
    found = []
    for words in (["data.batch_size=60"], ["data.batch_size=20", "engine.accumulate_steps=3"]):
        words = ["model=linear", "optimizer=sgd", "optimizer.lr=1", "loss.class_weights=balanced", *words]
        training = runner.build.training(runner.compose(words))
        training.step(training.state, next(training.train.epoch()))
        found.append(training.state.network[1].weight)
    torch.testing.assert_close(*found)


def test_a_class_without_images_cannot_be_balanced():
    with pytest.raises(UserError, match=r"^loss\.class_weights: class 1 has no training image; give a list"):
        weights_of_classes("balanced", [3, 0, 2])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("[1,2]", "loss.class_weights: must have 10 weights, one a class, not 2"),
        ("[0,0,0,0,0,0,0,0,0,0]", "loss.class_weights: must not all be 0"),
        ("even", "loss.class_weights: must be one of 'none', 'balanced', not 'even'"),
        ("[1,-1,1,1,1,1,1,1,1,1]", "loss.class_weights: must be at least 0, not -1"),
    ],
)
def test_wrong_class_weights_are_said_in_one_line(weights, message):
    cfg = runner.compose([f"loss.class_weights={weights}"])

    def checked_and_built():
        config.check(cfg)
        runner.build.loss(cfg)

    with pytest.raises(UserError) as caught:
        checked_and_built()
    assert str(caught.value).startswith(message)


def test_weights_of_balanced_classes_are_right_for_more_images_than_single_precision_counts():
    counts = [50_000_001, 33_333_335, 5]
    expected = [sum(counts) / (3 * count) for count in counts]
    assert weights_of_classes("balanced", counts).tolist() == [float(np.float32(weight)) for weight in expected]
