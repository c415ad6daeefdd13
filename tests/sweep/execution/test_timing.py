"""Whether trials train together, by the time of a few updates."""

import json

import pytest
import torch

import runner
from runner.build import Timing
from runner.store import SweepFolder, make_folder
from runner.sweep.execution import timing as module


class Timer:
    """Stands for `VectorizedTimer`: what it would measure is given, and a trial takes 40 s alone."""

    most_together, trial_seconds, spent, found = 100, 40.0, 0.1, {}

    def __init__(self, cfg, dataset):
        self.timed = []
        Timer.last = self

    def cost(self, num_trials):
        return num_trials * self.seconds_per_trial

    seconds_per_trial = 0.1

    def time(self, cfgs, until):
        self.timed.append(len(cfgs))
        return Timing(len(cfgs), *self.found["few" if len(cfgs) == 4 else "more"])


@pytest.fixture
def decide(tmp_path, monkeypatch):
    """`decide(few, more, num_alike)` with what timing 4 and all 12 trials finds: seconds together and alone."""
    folder = SweepFolder.create(make_folder(tmp_path, "it"), "it", [], 0, {})
    cfgs = [runner.compose(["model=mlp", f"optimizer.lr={number}e-3"]) for number in range(1, 13)]
    monkeypatch.setattr(module.build, "VectorizedTimer", Timer)

    def decided(few, more, num_alike=12, epochs=40, **values):
        for name, value in values.items():
            monkeypatch.setattr(Timer, name, value)
        monkeypatch.setattr(Timer, "found", {"few": few, "more": more})
        for cfg in cfgs:
            cfg.engine.epochs = epochs
        found = module.decide(cfgs, "auto", num_alike, None, folder)
        return found.together, found.reason

    decided.folder, decided.cfgs = folder, cfgs
    yield decided
    folder.unlock()


def test_trials_that_gain_only_when_there_are_many_train_together(decide):
    together, reason = decide((4e-3, 1e-3), (4e-3, 1e-3))
    assert (together, Timer.last.timed) == (100, [4, 12])
    assert "3.0 times" in reason


def test_of_many_trials_no_more_than_sixteen_are_timed(decide):
    decide.cfgs.extend(runner.compose(["model=mlp", f"optimizer.lr={number}e-3"]) for number in range(13, 31))
    decide((4e-3, 1e-3), (4e-3, 1e-3), num_alike=30)
    assert Timer.last.timed == [4, 16]


def test_many_trials_of_a_large_network_are_not_timed_where_few_gain_nothing(decide):
    together, reason = decide((4.2, 1.0), (0.1, 1.0), seconds_per_trial=0.2)
    assert (together, Timer.last.timed) == (0, [4])
    assert "0.95 times" in reason


def test_vectorizing_pays_from_a_number_of_trials_on(decide):
    # 3 ms and a quarter of one a trial: 4 take 4 ms, 12 take 6 ms, and 5 are the first that gain 15%.
    assert decide((4e-3, 1e-3), (6e-3, 1e-3), num_alike=12)[0] == 100
    (decision,) = json.loads((decide.folder.path / "vectorize.json").read_text())["decisions"].values()
    assert decision["min_trials"] == 5
    timer = Timer.last
    together, reason = decide((0, 0), (0, 0), num_alike=4)
    assert together == 0
    assert "from 5 on" in reason
    assert Timer.last is timer, "timed once"
    assert decide((0, 0), (0, 0), num_alike=5)[0] == 100


def test_a_decision_without_a_least_number_of_trials_holds_for_any(decide):
    decide((4e-3, 1e-3), (6e-3, 1e-3), num_alike=12)
    file = decide.folder.path / "vectorize.json"
    stored = json.loads(file.read_text())
    (decision,) = stored["decisions"].values()
    for key in ("min_trials", "max_epochs", "num_threads"):
        decision.pop(key, None)
    file.write_text(json.dumps(stored))
    assert decide((0, 0), (0, 0), num_alike=4)[0] == 100


def test_what_cannot_train_together_is_not_timed(decide, monkeypatch):
    monkeypatch.setattr(Timer, "last", None, raising=False)
    monkeypatch.setattr(module, "reason_against", lambda cfg: "its network is its own")
    assert decide((0, 0), (0, 0)) == (0, "its network is its own")
    assert Timer.last is None


@pytest.mark.parametrize(("together", "left"), [(3, 3), (1, 0), (200, 100)])
def test_trials_that_ran_out_of_memory_are_fewer_next_time_and_one_is_alone(decide, together, left):
    assert decide((1e-3, 1e-3), (1e-3, 1e-3))[0] == 100
    module.allow_fewer(decide.cfgs[0], together, decide.folder)
    assert module.most_together(decide.cfgs[0], decide.folder) == left
    found = module.decide(decide.cfgs, "auto", 12, None, decide.folder)
    assert found.together == left
    assert (f"more than {together} ran out of memory" in found.reason) is (together < 100)


@pytest.mark.parametrize("damage", [{"together": None}, {"reason": ""}])
def test_a_decision_that_cannot_be_read_is_made_again(decide, damage):
    assert decide((1e-3, 1e-3), (1e-3, 1e-3))[0] == 100
    path = decide.folder.path / "vectorize.json"
    stored = json.loads(path.read_text())
    (decision,) = stored["decisions"].values()
    decision.update(damage)
    path.write_text(json.dumps(stored))
    timer = Timer.last
    assert decide((1e-3, 1e-3), (1e-3, 1e-3))[0] == 100
    assert Timer.last is not timer


def test_no_more_trials_are_timed_than_memory_has_room_for(decide):
    found = decide((1e-3, 1e-3), (1e-3, 1e-3), most_together=7)
    assert found == (7, "vectorized trials train 7.0 times as fast as one by one")
    assert Timer.last.timed == [4, 7]


def test_a_timing_takes_no_more_than_a_twentieth_of_the_expected_time(decide):
    # 12 trials of 1 s take 12 s; a twentieth is 0.6 s, which leaves 0.5 s: enough for 4 trials at 0.1 s, not for 12.
    together, _ = decide((1e-3, 1e-3), (1e-3, 1e-3), trial_seconds=1.0)
    assert (together, Timer.last.timed) == (100, [4])


def test_trials_that_are_too_short_for_a_timing_train_one_by_one_until_longer_ones_come(decide):
    together, reason = decide(
        (1e-3, 1e-3), (1e-3, 1e-3), trial_seconds=0.8, epochs=1
    )  # 0.48 s, of which 0.1 s is spent
    assert (together, Timer.last.timed) == (0, [])
    assert reason == "the trials take too little time for finding out whether vectorizing pays"
    timer = Timer.last
    assert decide((1e-3, 1e-3), (1e-3, 1e-3), epochs=1)[0] == 0
    assert Timer.last is timer, "timed once for a round that is no longer"
    assert decide((1e-3, 1e-3), (1e-3, 1e-3), epochs=10, trial_seconds=8)[0] == 100


def test_the_number_of_threads_that_was_faster_is_kept(decide):
    assert decide((1e-3, 1e-3, 1), (1e-3, 1e-3, 1))[1].endswith("with one thread")
    assert module.decide(decide.cfgs, "auto", 12, None, decide.folder).num_threads == 1


def test_where_memory_is_too_small_for_few_trials_none_train_together(decide, monkeypatch):
    def full(self, cfgs, until):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Timer, "time", full)
    found = decide((1e-3, 1e-3), (1e-3, 1e-3))
    assert found == (0, "the device has too little memory for several trials")


def test_where_memory_is_too_small_for_many_trials_few_train_together(decide, monkeypatch):
    measure = Timer.time

    def full(self, cfgs, until):
        if len(cfgs) > 4:
            raise torch.OutOfMemoryError
        return measure(self, cfgs, until)

    monkeypatch.setattr(Timer, "time", full)
    assert decide((1e-3, 1e-3), (1e-3, 1e-3)) == (4, "vectorized trials train 4.0 times as fast as one by one")


def test_an_architecture_has_a_decision_of_its_own_and_a_length_has_not(decide):
    def name(*words):
        return module._name(runner.compose(["model=mlp", *words]))

    assert name("engine.epochs=3") == name("engine.epochs=30") != name("model.hidden=[9]")


def test_a_number_that_was_asked_for_is_tried_with_the_images_at_hand(decide, monkeypatch):
    tried = []
    monkeypatch.setattr(module.build, "vectorize", lambda *given: tried.append(given))
    images = object()
    found = module.decide(decide.cfgs, 3, 12, images, decide.folder)
    assert (found.together, found.reason) == (3, "sweep.vectorize is 3")
    assert tried == [(decide.cfgs[:2], images)]


@pytest.mark.parametrize(
    ("num_cfgs", "found"),
    [(2, (100, "vectorized trials train 2.0 times as fast as one by one")), (1, (0, "a single trial of its kind"))],
)
def test_two_trials_are_timed_and_one_is_not(decide, monkeypatch, num_cfgs, found):
    monkeypatch.setattr(Timer, "last", None, raising=False)
    del decide.cfgs[num_cfgs:]
    assert decide((1e-3, 1e-3), (1e-3, 1e-3)) == found
    assert (Timer.last is not None) == (num_cfgs == 2)


def test_where_few_gain_already_any_number_trains_together(decide):
    decide((2e-3, 1e-3), (5e-3, 1e-3))
    (decision,) = json.loads((decide.folder.path / "vectorize.json").read_text())["decisions"].values()
    assert (decision["together"], decision["min_trials"]) == (100, 1)


@pytest.mark.parametrize(
    ("few", "many", "least"),
    [
        ((4, 4.0, 1.2), (12, 12.0, 1.2), 1),  # few gain 20% already
        ((4, 4.0, 1.0), (4, 4.0, 1.2), 1),  # one timing, which is no line
        ((4, 4.0, 1.0), (12, 6.0, 1.15), 5),  # 3 + n / 4 seconds: n * (1 - 1 / 4) is 3 at 4, and few are one more
        ((4, 8.0, 1.0), (12, 10.0, 1.15), 10),  # 7 + n / 4 seconds: n * 3 / 4 is 7 at 9.3
        ((2, 20.0, 1.0), (12, 30.0, 1.15), 12),  # 18 + n seconds: no trial saves anything
        ((2, 18.0, 1.0), (12, 23.0, 1.15), 12),  # 17 + n / 2 seconds: it would pay from 34 on, which nobody timed
    ],
)
def test_the_least_number_of_trials_that_pays_is_read_off_a_line_through_two_timings(few, many, least):
    assert module._min_trials(Timing(*few), Timing(*many)) == least


def test_where_few_trials_gain_more_may_be_timed_for_less(decide):
    """12 trials of 2 s: 1.2 s may be spent, and a quarter of it is 0.3 s where 4 trials train as fast as one."""
    assert decide((1e-3, 1e-3), (1e-3, 1e-3), trial_seconds=2.5, seconds_per_trial=0.02)[0] == 100
    assert Timer.last.timed == [4, 12]  # 1.5 s, a quarter is 0.375 s: 0.1 s spent and 0.24 s to come
    (decide.folder.path / "vectorize.json").unlink()
    decide((1e-3, 1e-3), (1e-3, 1e-3), trial_seconds=2.0, seconds_per_trial=0.02)
    assert Timer.last.timed == [4]


@pytest.mark.parametrize(("cost", "timed"), [(0.15, [4, 12]), (0.2, [4])])
def test_where_few_gain_nothing_more_are_timed_if_that_is_short(decide, cost, timed):
    decide((4.2, 1.0), (6.0, 1.0), seconds_per_trial=cost)  # of 12 trials: 1.8 s or 2.4 s
    assert Timer.last.timed == timed


@pytest.mark.parametrize(("seconds", "together"), [(12 / 1.14, 0), (12 / 1.16, 100)])
def test_trials_train_together_where_they_gain_fifteen_percent(decide, seconds, together):
    assert decide((4.2, 1.0), (seconds, 1.0))[0] == together


def test_what_does_not_train_together_is_a_decision_with_its_reason(decide, monkeypatch):
    def refuse(*_):
        raise module.CannotVectorize("model: no")

    monkeypatch.setattr(module.build, "vectorize", refuse)
    found = module.decide(decide.cfgs, 3, 12, None, decide.folder)
    assert (found.together, found.reason) == (0, "model: no")


def test_of_a_signature_that_was_not_timed_nothing_is_known(decide):
    assert module.most_together(decide.cfgs[0], decide.folder) == 0
    module.allow_fewer(decide.cfgs[0], 2, decide.folder)
    assert not (decide.folder.path / "vectorize.json").exists()
