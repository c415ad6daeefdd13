"""Weights that follow the trained ones: where they stand after each update."""

import copy

import pytest
import torch

import runner
from runner.average.weight_average import recompute_statistics

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


SWA = ["average=swa", "average.start_epochs=2"]


def test_swa_is_the_mean_of_the_weights_at_the_ends_of_epochs():
    made = training(*SWA)
    reached = updates(made, 40)
    for number in (5, 15, 20):  # until the second epoch's end the average is the trained weights
        fast, slow = reached[number - 1]
        assert same(fast, slow)
    ends = [reached[number - 1][0] for number in (20, 30, 40)]
    for number, count in ((25, 1), (30, 2), (35, 2), (40, 3)):
        slow = reached[number - 1][1]
        for key, value in slow.items():
            if key.endswith(("weight", "bias")):
                torch.testing.assert_close(value, torch.stack([end[key] for end in ends[:count]]).mean(0))


def test_swa_from_the_beginning_begins_with_the_first_epoch():
    made = training("average=swa", "average.start_epochs=0")
    found = updates(made, 20)
    for key, mean in found[-1][1].items():
        if mean.is_floating_point() and "running" not in key:
            torch.testing.assert_close(mean, (found[9][0][key] + found[19][0][key]) / 2, msg=key)


@pytest.mark.parametrize("in_training", [True, False])
def test_recomputed_statistics_are_those_of_all_images_and_nothing_else_changes(in_training):
    network = torch.nn.Sequential(
        torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3, momentum=0.25), torch.nn.BatchNorm1d(3)
    ).train(in_training)
    images = torch.randn(4, 10, 3) * 2 + 1
    recompute_statistics(network, [(batch, None) for batch in images], held=["2"])
    torch.testing.assert_close(network[1].running_mean, images.mean((0, 1)))
    torch.testing.assert_close(network[1].running_var, torch.stack([batch.var(0) for batch in images]).mean(0))
    assert torch.equal(network[2].running_mean, torch.zeros(3))
    assert [layer.training for layer in network.modules()] == [in_training] * 4
    assert [network[1].momentum, network[2].momentum] == [0.25, 0.1]


def test_swas_normalization_statistics_are_those_of_the_averaged_network():
    made = training(*SWA, "model.norm=batch")
    updates(made, 40)
    average = made.state.average
    before = copy.deepcopy(average.network.state_dict())
    average.before_scoring(lambda: made.train.epoch(3))
    norms = [layer for layer in average.network.modules() if isinstance(layer, torch.nn.BatchNorm1d)]
    linear = next(layer for layer in average.network.modules() if isinstance(layer, torch.nn.Linear))
    outputs = [linear(images.flatten(1)) for images, _ in made.train.epoch(3)]
    torch.testing.assert_close(norms[0].running_mean, torch.stack([one.mean(0) for one in outputs]).mean(0))
    torch.testing.assert_close(norms[0].running_var, torch.stack([one.var(0) for one in outputs]).mean(0))
    assert norms[0].momentum is not None
    assert not any(layer.training for layer in average.network.modules())
    for key, value in average.network.state_dict().items():
        assert torch.equal(value, before[key]) or "running" in key or "num_batches" in key
    name = next(key for key in before if key.endswith("running_mean"))
    assert not torch.equal(before[name], norms[0].running_mean)


def test_snapshots_are_the_weights_at_the_bottoms():
    words = ["average=snapshots", "schedule=warm_restarts", "schedule.period_epochs=1", "schedule.period_factor=1"]
    made = training(*words, "average.num_snapshots=2")
    found = []
    for number in range(40):
        made.step(made.state, next(made.train.epoch(number // 10, number % 10)))
        if number in (9, 19, 29, 39):  # the last update of each period
            found.append(copy.deepcopy(made.state.network.state_dict()))
        assert len(made.state.average.snapshots) == min(2, (number + 1) // 10)
    for kept, expected in zip(made.state.average.snapshots, found[2:], strict=True):
        assert same(kept, expected)
    other = training(*words)
    other.state.load_state_dict(made.state.state_dict())
    assert same(other.state.average.snapshots[1], found[3])


def test_snapshots_need_a_cycle():
    with pytest.raises(runner.UserError, match="needs a cyclic schedule; choose schedule=warm_restarts or cyclic"):
        training("average=snapshots", "schedule=step")


def test_a_triangle_has_its_bottom_at_the_end_of_each_period():
    made = training("average=snapshots", "schedule=cyclic", "schedule.period_epochs=2", "schedule.warmup_epochs=1")
    curve = made.state.schedule.curve
    assert [step for step in range(60) if curve.is_bottom(step)] == [29, 49]


@pytest.mark.parametrize("words", [SWA, ["average=snapshots", "schedule=cyclic", "schedule.period_epochs=1"]])
def test_a_training_that_goes_on_ends_with_the_same_average(words):
    whole, part, other = (training(*words) for _ in range(3))
    updates(whole, 40)
    updates(part, 25)
    other.state.load_state_dict(copy.deepcopy(part.state.state_dict()))
    updates(other, 15, first=25)
    one, two = (state.average.state_dict() for state in (whole.state, other.state))
    for first, second in zip(one.get("snapshots", [one]), two.get("snapshots", [two]), strict=True):
        assert same(first, second)


def test_swas_statistics_are_left_alone_until_there_is_a_mean():
    made = training("average=swa", "average.start_epochs=2", "model.norm=batch")
    updates(made, 20)  # two epochs, the first end that is averaged

    def batches():
        raise AssertionError("no images are asked for")

    made.state.average.before_scoring(batches)
    updates(made, 10)
    with pytest.raises(AssertionError, match="no images"):
        made.state.average.before_scoring(batches)
