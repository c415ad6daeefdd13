"""Which images an epoch holds: balanced classes, weights, and the same again for a seed and an epoch."""

import pytest
import torch

import runner
from runner.data.sampling import Order
from runner.errors import UserError

LABELS = torch.tensor([0] * 90 + [1] * 30 + [2] * 7)


def test_without_balance_each_image_comes_once():
    order = Order(LABELS)
    assert sorted(order.of(0, 0).tolist()) == list(range(127))


def test_oversampling_draws_each_class_equally_often_and_its_images_as_evenly_as_can_be():
    order = Order(LABELS, balance="oversample")
    drawn = order.of(seed=5, epoch=2)
    assert len(drawn) == order.num_images == 270
    assert torch.bincount(LABELS[drawn]).tolist() == [90, 90, 90]
    times = torch.bincount(drawn, minlength=127)
    assert times[:90].tolist() == [1] * 90
    assert times[90:120].tolist() == [3] * 30
    assert set(times[120:].tolist()) == {12, 13}  # 90 of 7


@pytest.mark.parametrize("balance", ["oversample", "weights"])
def test_an_epoch_can_be_drawn_again(balance):
    order = Order(LABELS, balance=balance)
    assert torch.equal(order.of(1, 3), order.of(1, 3))
    assert not torch.equal(order.of(1, 3), order.of(1, 4))
    assert not torch.equal(order.of(1, 3), order.of(2, 3))


def test_without_weights_of_their_own_the_classes_are_drawn_alike():
    order = Order(LABELS, balance="weights")
    drawn = torch.cat([order.of(0, epoch) for epoch in range(200)])
    assert len(drawn) == 200 * 127
    share = torch.bincount(LABELS[drawn]) / len(drawn)
    assert share.tolist() == pytest.approx([1 / 3] * 3, abs=0.01)  # three deviations


def test_weights_say_how_often_an_image_is_drawn():
    weights = torch.tensor([0.0, 1.0, 2.0, 5.0])
    order = Order(torch.tensor([0, 0, 1, 1]), weights)
    drawn = torch.cat([order.of(0, epoch) for epoch in range(5000)])
    assert (torch.bincount(drawn, minlength=4) / len(drawn)).tolist() == pytest.approx(
        [0, 1 / 8, 2 / 8, 5 / 8], abs=0.01
    )


def test_weights_and_oversampling_are_one_too_many():
    with pytest.raises(UserError, match=r"^data\.balance: oversample draws .*; set data\.balance=weights"):
        Order(LABELS, torch.ones(127), "oversample")


@pytest.mark.parametrize("balance", ["oversample", "weights"])
def test_vectorized_trials_draw_as_they_do_alone(balance):
    words = ["data=synthetic", "data.num_images=60", "data.num_classes=3", "data.image_size=8", "model=linear"]
    cfgs = [runner.compose([*words, f"data.balance={balance}", f"seed={seed}"]) for seed in (0, 1)]
    together = [labels for _, labels in runner.build.vectorize(cfgs).train.epoch(1)]
    for place, cfg in enumerate(cfgs):
        alone = [labels for _, labels in runner.build.training(cfg).train.epoch(1)]
        assert all(torch.equal(one[place], other) for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize("key", ["data.balance=oversample", "data.balance=weights", "data.progressive_sizes=[4,8]"])
def test_lbfgs_refuses_what_makes_its_loss_another_one(key):
    words = ["data=synthetic", "data.num_images=60", "data.num_classes=3", "data.image_size=8", "data.batch_size=100"]
    cfg = runner.compose([*words, "model=resnet", "model.depth=20", "model.width=2", "optimizer=lbfgs", key])
    with pytest.raises(UserError, match=f"^{key.partition('=')[0]}: optimizer=lbfgs needs the full batch"):
        runner.build.training(cfg)
