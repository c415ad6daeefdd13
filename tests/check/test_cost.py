"""What a training costs: counted by hand, timed by a clock that a test sets, and profiled."""

import json
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import runner
from runner.check import cost
from runner.check.subject import Subject


def test_each_layer_costs_what_it_does_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 5))
    layers = {layer.name: layer for layer in cost.layer_costs(network, torch.zeros(1, 1, 8, 8))}
    assert [layer.num_parameters for layer in layers.values()] == [20, 0, 0, 365]
    assert [layer.multiply_adds for layer in layers.values()] == [2 * 36 * 9, 0, 0, 360]
    assert [layer.output_bytes for layer in layers.values()] == [4 * 72, 4 * 72, 4 * 72, 4 * 5]
    assert network.training
    assert not any(layer._forward_hooks for layer in network)


def test_a_layer_that_is_passed_twice_has_both_outputs_and_a_lone_one_is_the_network():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    (layer,) = cost.layer_costs(Twice(), torch.zeros(1, 4))
    assert (layer.output_bytes, layer.multiply_adds) == (2 * 16, 2 * 16)
    (alone,) = cost.layer_costs(nn.Linear(4, 3), torch.zeros(1, 4))
    assert (alone.num_parameters, alone.multiply_adds) == (15, 12)


@pytest.fixture
def clock(monkeypatch):
    """A clock that work moves on."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now.seconds)
    return now


@pytest.mark.parametrize(("seconds", "counted"), [(0.5, 10), (3.0, 4), (10.1, 1)])
def test_work_is_timed_after_a_slow_start_for_ten_seconds_at_most(clock, seconds, counted):
    done, waited = [], []

    def work():
        while True:
            clock.seconds += 100.0 if len(done) < 2 else seconds
            done.append(1)
            yield 7

    assert cost._timed(work(), lambda: waited.append(len(done))) == pytest.approx(7 / seconds)
    assert len(done) == 2 + counted
    assert waited == [2, 2 + counted]


def test_the_device_is_waited_for(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    gpu = torch.device("cuda", 0)
    cost._waiting(gpu)()
    assert asked == [gpu]
    assert cost._waiting(torch.device("cpu"))() is None
    assert cost._waiting(torch.device("mps")) is torch.mps.synchronize


@pytest.fixture
def subject():
    return Subject(runner.compose(["model=linear", "data.batch_size=20", "engine.epochs=3"]))


@pytest.mark.parametrize(("max_steps", "images"), [(None, 3 * 1199), (10, 200), (10_000, 3 * 1199)])
def test_a_run_takes_as_long_as_its_images(subject, monkeypatch, max_steps, images):
    rates, asked = iter([30.0, 20.0, 10.0]), []
    monkeypatch.setattr(cost, "_timed", lambda work, wait: asked.append(list(islice(work, 2))) or next(rates))
    subject.training.settings = SimpleNamespace(epochs=3, max_steps=max_steps)
    found = cost._speeds(subject)
    assert (found.values["data"], found.values["step"], found.values["together"]) == (30.0, 20.0, 10.0)
    assert found.values["seconds"] == pytest.approx(images / 10)
    assert asked == [[20, 20]] * 3, "each gives the images that it has done"


@pytest.mark.parametrize(
    ("fits", "verdict", "measured", "advised"),
    [
        (64, "ok", "a batch of 64 fits, the next double does not", False),
        (20, "ok", "a batch of 20 fits, the next double does not", False),
        (16, "wrong", "a batch of 16 fits, the next double does not", False),
        (0, "wrong", "a batch of 0 fits, the next double does not", True),
        (cost.LARGEST, "ok", f"{cost.LARGEST:,} fit, and more", False),
    ],
)
def test_the_largest_batch_is_held_to_that_of_the_config(subject, monkeypatch, fits, verdict, measured, advised):
    monkeypatch.setattr(cost, "largest_fitting", lambda training: fits)
    found = cost._largest_batch(subject)
    assert (found.verdict, found.measured, found.values) == (verdict, measured, {"largest": fits})
    assert (found.expected, bool(found.advice)) == ("at least 20", advised)


def test_a_profile_is_a_trace_and_the_costliest_operations(subject, tmp_path):
    (tmp_path / "figures").mkdir()
    subject.folder = SimpleNamespace(path=tmp_path, figures=tmp_path / "figures")
    found = cost._profile(subject)
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["traceEvents"]
    rows = found.values["costliest"]
    assert 0 < len(rows) <= 10
    shares = [row["share"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert all(row["calls"] > 0 for row in rows)
    lines = (tmp_path / "figures/profile.txt").read_text().splitlines()
    assert len(lines) == len(rows)
    assert lines[0].split() == [f"{shares[0]:.1%}", f"{rows[0]['calls']:,}", "calls", rows[0]["name"]]
    assert found.measured == ", ".join(f"{row['name']} {row['share']:.0%}" for row in rows[:3])


@pytest.mark.parametrize(("profile", "names"), [(False, ["network", "speed"]), (True, ["network", "speed", "profile"])])
def test_a_profile_is_made_where_one_is_wanted(subject, monkeypatch, profile, names):
    monkeypatch.setattr(cost, "_timed", lambda work, wait: 10.0)
    subject.profile = profile
    assert [one.name for one in cost.check(subject)] == [f"cost.{name}" for name in names]


def test_sizes_are_those_of_a_batch(subject, monkeypatch):
    written = {}
    monkeypatch.setattr(subject, "write", lambda name, text: written.update({name: text}))
    layers = [cost.LayerCost("a", 3, 1000, 2**20), cost.LayerCost("b", 4, 234, 2**19)]
    found = cost._sizes(subject, layers, nn.Linear(2, 3), 4)
    assert found.measured == "9 parameters, 1,234 multiply-adds an image, 6.0 MiB of activations a batch"
    assert found.values["activation_bytes"] == 6 * 2**20
    assert found.values["layers"][1] == {"name": "b", "num_parameters": 4, "multiply_adds": 234, "output_bytes": 2**19}
    rows = [line.split() for line in written["cost.txt"].splitlines()]
    assert rows[1:] == [["a", "3", "1,000", "4.00"], ["b", "4", "234", "2.00"], ["total", "9", "1,234", "6.00"]]
