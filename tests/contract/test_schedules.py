"""Every schedule: equal to its formula at every step, through warm-up, restart and resume."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import runner

EPOCHS, STEPS_PER_EPOCH, LR = 12, 10, 0.2
TOTAL = EPOCHS * STEPS_PER_EPOCH


def triangle(t, period, low):
    phase = (t % period) / period
    return low + (1 - low) * (2 * phase if phase < 0.5 else 2 - 2 * phase)


def straight(t, total, peak_fraction, start=0.2, end=0.07):
    peak = math.floor(peak_fraction * total)
    return np.interp(t, [0, peak, total], [start, 1, end])


def restarts(t):
    start, length = 0, 30
    while t >= start + length:
        start, length = start + length, length * 2
    return (1 + math.cos(math.pi * (t - start) / length)) / 2


def one_cycle(t, total):
    peak, end = 0.3 * total - 1, total - 1
    if t <= peak:
        low, high, share = 1 / 25, 1.0, t / peak
    else:
        low, high, share = 1.0, 1 / 25 / 1e4, (t - peak) / (end - peak)
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2


# The factor at update t of `total` after the warm-up, with S steps an epoch.
TABLE = {
    "constant": ([], lambda t, total: 1.0),
    "step": (["schedule.step_epochs=4", "schedule.gamma=0.5"], lambda t, total: 0.5 ** (t // 40)),
    "multistep": (
        ["schedule.milestones_epochs=[3,'70 steps',90%]"],
        lambda t, total: 0.1 ** sum([t >= 30, t >= 70, t >= 108]),
    ),
    "exponential": (["schedule.decay_rate=0.2"], lambda t, total: math.exp(-0.2 * t / 10)),
    "inverse_time": (["schedule.decay_rate=2"], lambda t, total: 1 / (1 + 2 * t / 10)),
    "cosine": (["schedule.min_factor=0.1"], lambda t, total: 0.1 + 0.9 * (1 + math.cos(math.pi * t / total)) / 2),
    "warm_restarts": (["schedule.period_epochs=3"], lambda t, total: restarts(t)),
    "cyclic": (["schedule.period_epochs='40 steps'"], lambda t, total: triangle(t, 40, 0.1)),
    "one_cycle": ([], one_cycle),
    "triangle": (["schedule.peak_fraction=0.3"], lambda t, total: straight(t, total, 0.3)),
    "plateau": ([], lambda t, total: 1.0),
    "linear": (["schedule.min_factor=0.1"], lambda t, total: np.interp(t, [0, total], [1, 0.1])),
    "polynomial": (["schedule.power=2", "schedule.min_factor=0.2"], lambda t, total: 0.2 + 0.8 * (1 - t / total) ** 2),
    "wsd": (
        ["schedule.warmup_epochs=0", "schedule.decay_epochs='30 steps'", "schedule.min_factor=0.1"],
        lambda t, total: np.interp(t, [0, total - 30, total], [1, 1, 0.1]),
    ),
}


def made(name, *words):
    cfg = runner.compose([f"schedule={name}", *words, f"engine.epochs={EPOCHS}", f"optimizer.lr={LR}", "optimizer=sgd"])
    optimizer = runner.build.optimizer(cfg, nn.Linear(1, 1))
    return runner.build.schedule(cfg, optimizer, STEPS_PER_EPOCH), optimizer


def rates(schedule, optimizer, num_steps):
    """The rate of each update, read from the optimizer as an update would."""
    used = []
    for _ in range(num_steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


@pytest.mark.parametrize("name", TABLE)
def test_every_step_has_the_rate_of_the_formula(name):
    words, factor = TABLE[name]
    expected = [LR * factor(t, TOTAL) for t in range(TOTAL)]
    assert rates(*made(name, *words), TOTAL) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "one_cycle"])
@pytest.mark.parametrize("warmup", ["1.5", "'15 steps'", "12.5%"])
def test_warm_up_rises_linearly_and_the_curve_begins_after_it(name, warmup):
    words, factor = TABLE[name]
    if name == "multistep":
        words = ["schedule.milestones_epochs=[3,7]"]
        factor = lambda t, total: 0.1 ** sum([t >= 30, t >= 70])  # noqa: E731
    got = rates(*made(name, *words, f"schedule.warmup_epochs={warmup}"), TOTAL)
    assert got[:15] == pytest.approx([LR * (t + 1) / 15 for t in range(15)])
    assert got[15:] == pytest.approx([LR * factor(t, TOTAL - 15) for t in range(TOTAL - 15)])


@pytest.mark.parametrize("name", TABLE)
def test_resume_in_the_middle_gives_the_same_values(name):
    words, _ = TABLE[name]
    schedule, optimizer = made(name, *words)
    rates(schedule, optimizer, 47)
    for metric in (0.5, 0.4, 0.4):
        schedule.observe(metric)
    resumed, other = made(name, *words)
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.used_lrs == schedule.used_lrs
    assert rates(resumed, other, 60) == rates(schedule, optimizer, 60)


@pytest.mark.parametrize(
    ("shape", "factors"),
    {
        "linear": [1, 1, 0.95, 0.75, 0.5, 0.25, 0.05],
        "sqrt": [1, 1, 1 - math.sqrt(0.05), 0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75), 1 - math.sqrt(0.95)],
        "cosine": [1, 1, *((1 + math.cos(u * math.pi)) / 2 for u in (0.05, 0.25, 0.5, 0.75, 0.95))],
    }.items(),
)
def test_wsd_decays_in_the_shape_that_was_chosen(shape, factors):
    words = [f"schedule.shape={shape}", "schedule.decay_epochs='20 steps'"]  # beside its warm-up of 5%, 6 steps
    got = rates(*made("wsd", *words), TOTAL)
    assert got[:6] == pytest.approx([LR * (t + 1) / 6 for t in range(6)])
    assert set(got[6:100]) == {LR}
    assert [got[t] / LR for t in (99, 100, 101, 105, 110, 115, 119)] == pytest.approx(factors)


def test_wsd_may_decay_over_the_whole_run_or_not_at_all():
    assert rates(*made("wsd", "schedule.decay_epochs=0", "schedule.warmup_epochs=0"), TOTAL) == [LR] * TOTAL
    over_all = rates(*made("wsd", "schedule.decay_epochs=100%", "schedule.warmup_epochs=0"), TOTAL)
    assert over_all == pytest.approx([LR * (1 - t / TOTAL) for t in range(TOTAL)])


@pytest.mark.parametrize(
    ("name", "words", "make"),
    [
        ("linear", ["min_factor=0.25"], lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.25, TOTAL)),
        ("polynomial", ["power=3"], lambda o: torch.optim.lr_scheduler.PolynomialLR(o, TOTAL, 3)),
    ],
)
def test_it_equals_torchs(name, words, make):
    reference = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    torch_schedule, expected = make(reference), []
    for _ in range(TOTAL):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        torch_schedule.step()
    got = rates(*made(name, *(f"schedule.{word}" for word in words)), TOTAL)
    assert got == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "factor"),
    {"linear": 0.0, "polynomial": 0.0, "wsd": 0.0, "cosine": 0.0, "triangle": 0.07, "one_cycle": 1 / 25 / 1e4}.items(),
)
def test_after_its_end_a_curve_stays_where_it_is(name, factor):
    curve = made(name)[0].curve
    assert [curve(step) for step in (TOTAL, TOTAL + 1, 3 * TOTAL)] == pytest.approx([factor] * 3, rel=1e-9, abs=1e-12)


def test_a_warm_up_as_long_as_the_run_only_rises():
    assert rates(*made("cosine", "schedule.warmup_epochs=100%"), TOTAL)[-1] == pytest.approx(LR)


def test_one_cycle_equals_torchs():
    schedule, optimizer = made("one_cycle")
    reference = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    torch_schedule = torch.optim.lr_scheduler.OneCycleLR(reference, max_lr=LR, total_steps=TOTAL, cycle_momentum=False)
    expected = []
    for t in range(TOTAL):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        if t < TOTAL - 1:
            torch_schedule.step()
    assert rates(schedule, optimizer, TOTAL) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_plateau_reacts_to_the_metric_as_torchs_does(mode):
    words = ["schedule.patience_epochs=2", f"objective.mode={mode}"]
    schedule, optimizer = made("plateau", *words)
    reference = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    torch_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        reference, mode=mode, factor=0.1, patience=2, cooldown=0
    )
    metrics = [0.1, 0.3, 0.3, 0.29, 0.3, 0.31, 0.31, 0.2, 0.1, 0.25, 0.2, 0.2, 0.2, 0.2]
    seen = []
    for metric in metrics:
        schedule.observe(metric)
        torch_schedule.step(metric)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(reference.param_groups[0]["lr"])
        seen.append(optimizer.param_groups[0]["lr"])
    assert len(set(seen)) > 2, "the metrics of this test must make the rate drop more than once"


def test_plateau_counts_epochs_however_seldom_there_is_an_evaluation():
    # Evaluated every two epochs, with a patience of three: nothing is better after epoch 4. At epoch 6 two epochs have
    # passed, at 8 four, more than three: the first drop. From there 10 is two epochs away and 12 four: the second.
    schedule, optimizer = made("plateau", "schedule.patience_epochs=3", "schedule.factor=0.5")
    seen = {}
    for epoch, metric in {2: 0.5, 4: 0.6, 6: 0.6, 8: 0.6, 10: 0.6, 12: 0.6, 14: 0.7, 16: 0.6, 18: 0.6, 20: 0.6}.items():
        schedule.observe(metric, epoch)
        seen[epoch] = optimizer.param_groups[0]["lr"] / LR
    assert seen == {2: 1, 4: 1, 6: 1, 8: 0.5, 10: 0.5, 12: 0.25, 14: 0.25, 16: 0.25, 18: 0.125, 20: 0.125}


def test_a_training_that_is_evaluated_every_two_epochs_drops_by_epochs(train):
    # At a rate of almost 0 nothing improves on epoch 2, so the drops come at 6 and at 10, before epochs 7 and 11.
    words = ["schedule=plateau", "schedule.patience_epochs=3", "schedule.factor=0.5", "engine.eval_every_epochs=2"]
    words += ["model=linear", "optimizer=sgd", "optimizer.lr=1e-20", "engine.epochs=12", "engine.limit_batches=1"]
    run = train(*words, "log.tensorboard=false")
    factors = [record["lr"] / 1e-20 for record in run.metrics]
    assert factors == pytest.approx([1] * 6 + [0.5] * 4 + [0.25] * 2)


def test_plateau_waits_as_long_for_a_first_value():
    schedule, optimizer = made("plateau", "schedule.patience_epochs=3")
    for epoch, factor in {2: 1, 4: 0.1}.items():  # after four epochs that gave no number
        schedule.observe(math.nan, epoch)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(factor * LR)


def test_plateau_waits_as_long_for_a_first_value_where_epochs_are_not_told():
    schedule, optimizer = made("plateau", "schedule.patience_epochs=3")
    for factor in (1, 1, 1, 0.1):
        schedule.observe(math.nan)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(factor * LR)


def test_plateau_asks_for_an_improvement_beyond_the_threshold_and_stays_above_the_least_rate():
    words = ["schedule.patience_epochs=0", "schedule.threshold=0.1", "schedule.min_factor=0.04", "schedule.factor=0.2"]
    schedule, optimizer = made("plateau", *words)
    seen = []
    for metric in (1.0, 1.1, 1.12, 1.2, 1.25):  # 1.1 is not above 1 + 0.1, 1.12 is; 1.2 is below 1.12 + 0.112
        schedule.observe(metric)
        seen.append(optimizer.param_groups[0]["lr"] / LR)
    assert seen == pytest.approx([1, 0.2, 0.2, 0.04, 0.04])


@pytest.mark.parametrize("mode", ["max", "min"])
def test_to_plateau_an_equal_value_is_no_improvement(mode):
    words = ["schedule.patience_epochs=0", "schedule.threshold=0", "schedule.factor=0.5", f"objective.mode={mode}"]
    schedule, optimizer = made("plateau", *words)
    seen = []
    for _ in range(3):
        schedule.observe(0.5)
        seen.append(optimizer.param_groups[0]["lr"] / LR)
    assert seen == [1, 0.5, 0.25]


def test_plateau_resumes_between_two_evaluations():
    words = ["schedule.patience_epochs=3"]
    schedule, _ = made("plateau", *words)
    for epoch in (2, 4):
        schedule.observe(0.5, epoch)
    resumed, optimizer = made("plateau", *words)
    resumed.load_state_dict(schedule.state_dict())
    resumed.observe(0.5, 6)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * LR)


@pytest.mark.parametrize("duration", ["'1 steps'", "0", "'0 steps'", "0.01"])
def test_a_period_is_a_step_at_least(duration):
    assert rates(*made("step", f"schedule.step_epochs={duration}", "schedule.gamma=0.5"), 4) == pytest.approx(
        [LR * 0.5**t for t in range(4)]
    )
    assert rates(*made("warm_restarts", f"schedule.period_epochs={duration}"), 4) == pytest.approx([LR, LR, LR / 2, LR])
    assert rates(*made("cyclic", f"schedule.period_epochs={duration}"), 4) == pytest.approx([0.1 * LR] * 4)


def test_the_bottom_of_a_restart_is_known():
    schedule, _ = made("warm_restarts", "schedule.period_epochs=3")
    assert [t for t in range(TOTAL) if schedule.curve.is_bottom(t)] == [29, 89]
    schedule, _ = made("cyclic", "schedule.period_epochs=2", "schedule.warmup_epochs=4")
    assert [t for t in range(TOTAL) if schedule.curve.is_bottom(t)] == [*range(59, TOTAL, 20)], "none in the warm-up"


def test_rates_before_and_after_an_update_are_told_apart():
    schedule, _ = made("step", "schedule.step_epochs='2 steps'", "schedule.gamma=0.5")
    assert schedule.used_lrs == []
    schedule.step()
    schedule.step()
    assert (schedule.used_lrs, schedule.get_last_lr()) == ([LR] * 2, [LR / 2] * 2)  # of weights, and of biases
