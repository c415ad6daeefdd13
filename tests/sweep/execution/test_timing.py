"""Whether trials train together, by the time of a few steps."""

import json

import pytest

import runner
from runner.build import Timing
from runner.store import SweepFolder, make_folder
from runner.sweep.execution import timing as module


@pytest.fixture
def decide(tmp_path, monkeypatch):
    """`decide(few, many, num_alike)` with what the looks at 4 and at all 12 trials find: seconds together and alone."""
    folder = SweepFolder.create(make_folder(tmp_path, "it"), "it", [], 0, {})
    cfgs = [runner.compose(["model=mlp", f"optimizer.lr={number}e-3"]) for number in range(1, 13)]
    looks = []

    def decided(few, many, num_alike=12, room=100):
        def timing(cfgs, dataset, num_steps):
            looks.append(len(cfgs))
            return Timing(len(cfgs), *(few if len(cfgs) == 4 else many))

        monkeypatch.setattr(module.build, "time_vectorized", timing)
        monkeypatch.setattr(module.build, "most_together", lambda cfg, dataset: room)
        return module.decide(cfgs, "auto", num_alike, None, folder)

    decided.looks, decided.folder = looks, folder
    yield decided
    folder.unlock()


def test_a_stack_that_gains_at_its_real_size_is_taken_though_few_gain_nothing(decide):
    together, reason = decide((4e-3, 1e-3), (4e-3, 1e-3))
    assert (together, decide.looks) == (100, [4, 12])
    assert "3.0 times" in reason


def test_no_longer_look_at_a_large_network_of_which_few_gain_nothing(decide):
    together, reason = decide((4.2, 1.0), (0.1, 1.0))
    assert (together, decide.looks) == (0, [4])
    assert "0.95 times" in reason


def test_a_stack_pays_from_a_number_of_trials_on(decide):
    # 3 ms and a quarter of one a trial: 4 take 4 ms, 12 take 6 ms, and 5 are the first that gain 15%.
    assert decide((4e-3, 1e-3), (6e-3, 1e-3), num_alike=12)[0] == 100
    (decision,) = json.loads((decide.folder.path / "vectorize.json").read_text())["decisions"].values()
    assert decision["min_trials"] == 5
    together, reason = decide((0, 0), (0, 0), num_alike=4)
    assert together == 0
    assert "from 5 on" in reason
    assert decide.looks == [4, 12], "asked once"
    assert decide((0, 0), (0, 0), num_alike=5)[0] == 100


def test_what_memory_has_no_room_for_is_not_looked_at(decide):
    assert decide((1e-3, 1e-3), (1e-3, 1e-3), room=7) == (7, "vectorized trials train 7.0 times as fast as one by one")
    assert decide.looks == [4, 7]
