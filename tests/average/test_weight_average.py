"""Weights that follow the trained ones: where they stand after each update."""

import copy

import pytest
import torch

import runner

WORDS = ["model=mlp", "model.hidden=[8]", "model.norm=batch", "optimizer=momentum", "optimizer.lr=0.05"]
WORDS += ["data.batch_size=128", "engine.epochs=4"]  # 10 updates an epoch
LOOKAHEAD = ["average=lookahead", "average.every_steps=3", "average.decay=0.8"]


def training(*words):
    return runner.build.training(runner.compose([*WORDS, *words]))


def updates(made, num_updates, first=0):
    """Weights of the trained and of the slow network after each update, from update number `first` on."""
    found = []
    for number in range(first, first + num_updates):
        made.step(made.state, next(made.train.epoch(number // 10, number % 10)))
        made.state.step += 1
        state = made.state
        found.append([copy.deepcopy(network.state_dict()) for network in (state.network, state.average.network)])
    return found


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_an_update_without_lookahead_is_the_plain_one():
    plain, ours = training("average=ema"), training(*LOOKAHEAD)
    for (theirs, _), (fast, slow) in zip(updates(plain, 2), updates(ours, 2), strict=True):
        assert same(theirs, fast)
        assert not same(fast, slow)


def test_every_third_update_moves_both_to_the_point_between():
    made = training(*LOOKAHEAD)
    before = copy.deepcopy(made.state.network.state_dict())
    plain = training("average=ema")
    reached = updates(plain, 3)[2][0]
    fast, slow = updates(made, 3)[2]
    for key, value in reached.items():
        if value.is_floating_point():  # running statistics of the normalization alike
            torch.testing.assert_close(slow[key], 0.8 * before[key] + 0.2 * value)
        assert torch.equal(fast[key], value if not value.is_floating_point() else slow[key])


def test_decay_grows_with_its_power_over_the_run():
    average = training(*LOOKAHEAD, "average.power=3").state.average
    for step in (3, 12, 39):
        average.schedule.num_steps = step
        share, returns = average.due()
        assert share == pytest.approx(1 - 0.8 * (step / 40) ** 3)
        assert returns


@pytest.mark.parametrize(("start", "last"), [("1", 12), ("'7 steps'", 9), ("'9 steps'", 9), ("50%", 21)])
def test_before_its_start_the_slow_weights_are_the_trained_ones(start, last):
    plain, made = training("average=ema"), training(*LOOKAHEAD, f"average.start_epochs={start}")
    for number, ((theirs, _), (fast, slow)) in enumerate(
        zip(updates(plain, last + 3), updates(made, last + 3), strict=True), 1
    ):
        assert same(fast, theirs) == (number < last + 3)
        assert same(fast, slow) == (number <= last or number == last + 3)


def test_return_each_epoch_throws_the_latest_updates_away():
    kept, returned = (updates(training(*LOOKAHEAD, *words), 10) for words in ([], ["average.return_each_epoch=true"]))
    assert same(kept[8][0], returned[8][0])
    assert not same(kept[9][0], kept[8][0])
    for key, value in returned[8][1].items():
        if value.is_floating_point():
            assert torch.equal(returned[9][0][key], value)
            assert torch.equal(returned[9][1][key], value)


def test_a_resumed_run_ends_with_the_same_bits():
    words = [*LOOKAHEAD, "average.power=2", "average.start_epochs=0.5", "average.return_each_epoch=true"]
    through, stopped, resumed = (training(*words) for _ in range(3))
    expected = updates(through, 25)[-1]
    updates(stopped, 14)
    resumed.state.load_state_dict(copy.deepcopy(stopped.state.state_dict()))
    got = updates(resumed, 11, first=14)[-1]
    assert same(got[0], expected[0])
    assert same(got[1], expected[1])


@pytest.mark.parametrize("word", ["ema", "lookahead"])
def test_the_average_follows_weights_in_any_memory_layout(word):
    convnet = ["model=convnet", "model.channels=[4]", "model.hidden=8", "model.norm=none"]
    made = training(*convnet, "engine.channels_last=true", f"average={word}")
    before = copy.deepcopy(made.state.average.network.state_dict())
    _, after = updates(made, 5)[-1]
    assert [key for key in after if torch.equal(after[key], before[key])] == []
