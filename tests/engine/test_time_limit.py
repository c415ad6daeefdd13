"""A training that ends in a given time. The clock is one of our own."""

import pytest
import torch

import runner
from runner.constraints import seconds_of
from runner.engine.loop import fit
from runner.signals import Stop

WORDS = [
    "model=linear",
    "schedule=linear",
    "engine.epochs=1000",
    "data.batch_size=128",
    "log.every_steps=1",
]  # 10 updates


class Clock:
    """Time goes on by `pace` seconds at every look."""

    def __init__(self, pace):
        self.now, self.pace = 0.0, pace

    def __call__(self):
        return self.now

    def started(self, state):
        pass

    def reported(self, state, losses):
        pass

    def epoch_ended(self, state, records):
        pass


class NoCheckpoints:
    def due_at_step(self, step):
        return False

    def epoch_ended(self, state, is_last):
        pass

    def trim(self, state):
        pass


def train(monkeypatch, pace, *words):
    """Train with `pace` seconds an update; the training, and the learning rates of its updates."""
    training = runner.build.training(runner.compose([*WORDS, *words]))
    now, lrs, step = [0.0], [], training.step

    def timed(state, batch):
        now[0] += pace
        found = step(state, batch)
        lrs.append(state.schedule.used_lrs[0] / 1e-3)
        return found

    monkeypatch.setattr("runner.engine.time_limit.time.monotonic", lambda: now[0])
    training.step = timed
    fit(training, [Clock(pace)], NoCheckpoints(), Stop(), 1)
    return training, lrs, now[0]


@pytest.mark.parametrize(("pace", "epochs"), [(0.1, 9), (0.25, 3), (0.5, 1)])
def test_the_schedule_is_drawn_over_the_epochs_that_fit_into_the_time(monkeypatch, pace, epochs):
    """10 s less 3% are 97, 38 and 19 updates: 9, 3 and 1 epochs of 10."""
    training, lrs, passed = train(monkeypatch, pace, "engine.max_time=10s")
    assert passed <= 10
    assert training.state.step == len(lrs) == 10 * epochs
    assert training.state.epoch == epochs
    # Linear to 0 over the whole run: after the first look at the pace each rate is where it is in a run of that length.
    expected = [1 - step / (10 * epochs) for step in range(10 * epochs)]
    assert lrs[1:] == pytest.approx(expected[1:], abs=1e-6 if epochs == 1 else 0.06)
    assert training.state.trials[0].status == "finished"
    assert training.state.trials[0].best_epoch is not None


def test_where_not_even_an_epoch_fits_it_ends_within_the_first(monkeypatch):
    training, lrs, passed = train(monkeypatch, 2.0, "engine.max_time=10s")
    assert passed <= 10
    assert training.state.step == 4
    assert training.state.trials[0].best_value is not None  # it was validated
    assert lrs[-1] == pytest.approx(1 - 3 / 4)


def test_a_pace_that_slows_down_shortens_the_run(monkeypatch):
    training = runner.build.training(runner.compose([*WORDS, "engine.max_time=10s"]))
    now, step = [0.0], training.step

    def slower(state, batch):
        now[0] += 0.1 if state.step < 30 else 0.3
        return step(state, batch)

    monkeypatch.setattr("runner.engine.time_limit.time.monotonic", lambda: now[0])
    training.step = slower
    fit(training, [], NoCheckpoints(), Stop(), 1)
    assert now[0] <= 10.3
    assert 30 < training.state.step < 60


def test_epochs_are_still_the_most(monkeypatch):
    training, lrs, _ = train(monkeypatch, 0.01, "engine.max_time=1h", "engine.epochs=2")
    assert training.state.step == 20
    assert lrs == pytest.approx([1 - step / 20 for step in range(20)])


def test_patience_may_end_it_before(monkeypatch):
    training, _, passed = train(monkeypatch, 0.1, "engine.max_time=10m", "engine.patience=2", "optimizer.lr=1e-9")
    assert passed < 60
    assert training.state.epoch < 100


def test_a_training_that_goes_on_has_the_time_that_was_left(monkeypatch):
    first, _, _ = train(monkeypatch, 0.1, "engine.max_time=5s")
    other = runner.build.training(runner.compose([*WORDS, "engine.max_time=10s"]))
    state = first.state.state_dict()
    assert state["time"]["seconds"] == pytest.approx(4.0, abs=0.2)
    other.state.load_state_dict(state)
    now, step = [100.0], other.step

    def timed(state, batch):
        now[0] += 0.1
        return step(state, batch)

    monkeypatch.setattr("runner.engine.time_limit.time.monotonic", lambda: now[0])
    other.state.trials[0].status = "running"
    other.state.planned_steps = None
    other.step = timed
    fit(other, [], NoCheckpoints(), Stop(), 1)
    assert other.state.step - 40 == pytest.approx(55, abs=6)  # 6 s less 3%, in whole epochs


def test_a_checkpoint_of_before_knows_no_time():
    training = runner.build.training(runner.compose(WORDS))
    state = training.state.state_dict()
    del state["time"]
    training.state.load_state_dict(state)
    assert (training.state.planned_steps, training.state.seconds) == (None, 0.0)
    assert torch.is_tensor(next(iter(state["network"].values())))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20m", 1200), ("90s", 90), ("1h30m", 5400), ("1h 5m 3s", 3903), (7, 7), ("2.5h", 9000), ("3min", 180)],
)
def test_lengths_of_time(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("value", ["soon", "", 0, -3, "0s", "5x"])
def test_what_is_no_length_of_time_is_refused(value):
    with pytest.raises(runner.UserError, match=r"engine\.max_time: must be a length of time such as 20m"):
        runner.train([*WORDS, f"engine.max_time='{value}'" if isinstance(value, str) else f"engine.max_time={value}"])


def test_trials_with_a_limit_train_one_by_one():
    from runner.vectorizable import reason_against

    assert "each trial has the time for itself" in reason_against(runner.compose([*WORDS, "engine.max_time=1m"]))
