"""The learning-rate range: what a ramp sets, when it ends, and what is read off it."""

import math
from types import SimpleNamespace

import pytest

import runner
from runner.check import lr as module
from runner.errors import UserError


class Ramp:
    """Stands for a subject whose training gives the loss that a test says for each rate."""

    is_lbfgs = False

    def __init__(self, loss, base_lrs=(0.1, 0.2)):
        self.groups = [{"lr": lr} for lr in base_lrs]
        self.rates, self.loss = [], loss
        state = SimpleNamespace(
            schedule=SimpleNamespace(base_lrs=list(base_lrs)), optimizer=SimpleNamespace(param_groups=self.groups)
        )
        self.training = SimpleNamespace(state=state, step=self.step)

    def fresh(self):
        return self.training

    def batches(self):
        while True:
            yield "batch"

    def step(self, state, batch):
        assert batch == "batch"
        self.rates.append([group["lr"] for group in self.groups])
        loss = self.loss(len(self.rates) - 1, self.rates[-1][-1])
        return [SimpleNamespace(item=lambda: loss)]


def test_rates_rise_by_the_same_factor_and_groups_keep_their_proportion():
    ramp = Ramp(lambda number, rate: 1.0)
    found = module.ramp(ramp)
    assert len(ramp.rates) == 100
    assert found.lrs == [rate for _, rate in ramp.rates]
    assert (found.lrs[0], found.lrs[-1]) == (pytest.approx(1e-6), pytest.approx(10))
    factors = [after / before for before, after in zip(found.lrs, found.lrs[1:], strict=False)]
    assert max(factors) == pytest.approx(min(factors))
    assert all(first == pytest.approx(second / 2) for first, second in ramp.rates)
    assert (found.suggestion, found.blown_up) == (None, None)
    assert {rate for _, rate in [[group["lr"] for group in ramp.groups]]} == {found.lrs[-1]}


def test_a_rate_of_zero_everywhere_is_no_proportion():
    ramp = Ramp(lambda number, rate: 1.0, base_lrs=(0.0,))
    assert module.ramp(ramp).lrs
    assert {rate for (rate,) in ramp.rates} == {0.0}


@pytest.mark.parametrize(("broken", "count"), [(math.nan, 30), (math.inf, 30)])
def test_a_loss_that_is_no_number_ends_the_ramp_at_its_rate(broken, count):
    found = module.ramp(Ramp(lambda number, rate: broken if number == 30 else 2.0 - number / 30))
    assert len(found.losses) == len(found.smooth) == count
    assert found.blown_up == pytest.approx(1e-6 * 1e7 ** (30 / 99))


def test_a_loss_of_four_times_the_best_ends_the_ramp_after_ten_updates():
    found = module.ramp(Ramp(lambda number, rate: 1.0 if number < 20 else 1e3))
    assert len(found.losses) == 21
    assert found.blown_up == found.lrs[-1]
    early = module.ramp(Ramp(lambda number, rate: 1.0 if number < 3 else 1e3 if number < 5 else 1.0))
    assert len(early.losses) > 11, "the first updates say little"


def test_running_means_begin_at_the_first_loss():
    assert module.smoothed([2.0, 4.0]) == pytest.approx([2.0, (0.9 * 0.2 + 0.4) / 0.19])


def test_a_range_is_read_off_a_loss_that_falls_and_rises():
    lrs = [10.0 ** (-6 + place / 10) for place in range(70)]
    losses = [
        2.0 if place < 20 else 2.0 - (place - 20) / 20 if place < 50 else 0.5 + (place - 50) for place in range(70)
    ]
    found = module.read_off(lrs, losses, 3.0)
    best = min(range(70), key=found.smooth.__getitem__)
    start = max(found.smooth[: best + 1])
    begins = next(place for place in range(70) if found.smooth[place] <= start - 0.1 * (start - found.smooth[best]))
    assert found.high == lrs[best - 5]  # the mean remembers 9 updates, half of which is 4.5
    assert found.low == min(lrs[begins - 5], found.high / 10)
    assert found.suggestion == pytest.approx(lrs[best] / 10, rel=0.05)
    assert found.low <= found.suggestion <= found.high
    assert found.blown_up == 3.0


@pytest.mark.parametrize(
    "losses", [[], [2.0] * 20, [2.0 - place / 1000 for place in range(20)], [1.0 + place for place in range(20)]]
)
def test_a_loss_that_does_not_fall_gives_no_range(losses):
    found = module.read_off([1e-6 * 2**place for place in range(20)][: len(losses)], losses)
    assert (found.low, found.suggestion, found.high) == (None, None, None)
    verdict = module.verdict_on(found, 0.1)
    assert (verdict.verdict, verdict.measured) == ("wrong", "the loss falls at no rate from 1e-06 to 10")


@pytest.fixture
def cfg():
    return runner.compose(["model=linear", "optimizer.lr=auto"])


def test_a_rate_is_found_where_it_is_to_be(cfg, monkeypatch):
    asked = []

    class Subject:
        is_lbfgs = False

        def __init__(self, cfg, dataset):
            asked.append((cfg.optimizer.lr, dataset))

    monkeypatch.setattr(module, "Subject", Subject)
    monkeypatch.setattr(module, "ramp", lambda subject: module.LrRange([1, 2, 3], [], [], 0.001, 0.02, 0.1))
    found, noted = module.settled(cfg, "images")
    assert (found.optimizer.lr, cfg.optimizer.lr) == (0.02, "auto")
    assert noted == {"lr": 0.02, "low": 0.001, "high": 0.1, "num_updates": 3}
    assert asked == [(10.0, "images")]
    assert module.settled(found, "images") == (found, None)
    monkeypatch.setattr(module, "ramp", lambda subject: module.LrRange([], []))
    with pytest.raises(
        UserError, match=r"^optimizer\.lr: auto found no rate at which the loss falls; runner check says"
    ):
        module.settled(cfg, "images")
    Subject.is_lbfgs = True
    with pytest.raises(UserError, match=r"^optimizer\.lr: auto: L-BFGS searches the length of its own step; set"):
        module.settled(cfg, "images")


@pytest.mark.parametrize(("lr", "given"), [(0.1, 0.1), ("auto", None)])
def test_a_check_draws_the_range_and_judges_the_rate(monkeypatch, lr, given):
    written, drawn = [], []
    subject = SimpleNamespace(
        is_lbfgs=False, cfg=runner.compose([f"optimizer.lr={lr}"]), write=lambda *given: written.append(given)
    )
    found = module.LrRange([1e-3, 1e-2], [2.0, 1.0], [2.0, 1.5], 0.001, 0.02, 0.1)
    monkeypatch.setattr(module, "ramp", lambda one: found)
    draw = module.draw_range
    monkeypatch.setattr(module, "draw_range", lambda *given: drawn.append(given) or draw(*given))
    (check,) = module.check(subject)
    assert check == module.verdict_on(found, given)
    assert drawn == [(found, lr)]
    assert written[0][0] == "lr.png"
    assert written[0][1].startswith(b"\x89PNG")


def test_lbfgs_has_no_range():
    (check,) = module.check(SimpleNamespace(is_lbfgs=True))
    assert (check.name, check.verdict) == ("lr.range", "skipped")
