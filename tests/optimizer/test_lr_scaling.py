"""`optimizer.scale_lr`: the rate for another batch size."""

import pytest

import runner
from runner.errors import UserError


def used_lr(*words):
    cfg = runner.compose(["model=linear", *words])
    runner.config.check(cfg)
    return runner.build.training(cfg).state.optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [("sgd", 0.1), ("momentum", 0.1), ("nesterov", 0.1), ("adam", 0.2), ("adamw", 0.2), ("lion", 0.2), ("muon", 0.2)],
)
def test_a_quarter_of_256_images_halves_the_rate_or_divides_it_by_four(optimizer, expected):
    words = [f"optimizer={optimizer}", "optimizer.lr=0.4", "data.batch_size=64"]
    assert used_lr(*words) == 0.4
    assert used_lr(*words, "optimizer.scale_lr=true") == pytest.approx(expected)


def test_accumulated_batches_count_as_one_step():
    words = ["optimizer=sgd", "optimizer.lr=0.4", "optimizer.scale_lr=true", "data.batch_size=64"]
    assert used_lr(*words, "engine.accumulate_steps=8") == pytest.approx(0.8)


def test_groups_of_their_own_rate_keep_their_proportion():
    words = ["optimizer=sgd", "optimizer.lr=0.4", "optimizer.scale_lr=true", "data.batch_size=64"]
    cfg = runner.compose(["model=linear", *words, "optimizer.param_groups=[{params: biases, lr_scale: 10}]"])
    rates = sorted(group["lr"] for group in runner.build.training(cfg).state.optimizer.param_groups)
    assert rates == pytest.approx([0.1, 1.0])


def test_an_optimizer_that_searches_its_step_has_no_rate_to_scale():
    with pytest.raises(UserError, match=r"^optimizer.scale_lr: L-BFGS"):
        used_lr("optimizer=lbfgs", "+optimizer.scale_lr=true", "data.batch_size=2000", "schedule=constant")


def test_a_rate_that_is_found_is_not_scaled():
    cfg = runner.compose(["optimizer.lr=auto", "optimizer.scale_lr=true"])
    with pytest.raises(UserError, match=r"^optimizer.scale_lr: optimizer.lr=auto"):
        runner.config.check(cfg, auto=True)
