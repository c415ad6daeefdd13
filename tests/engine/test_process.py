"""Small networks have one thread, large ones all."""

from __future__ import annotations

import pytest
import torch

import runner
from runner.engine import process


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.setattr(process, "ALL", 2)
    yield
    torch.set_num_threads(1)


def test_multiplications_are_those_of_the_layers():
    network = runner.build.model(runner.compose(["model=mlp", "model.hidden=[32,16]"]))
    assert process.multiplications(network, (1, 8, 8)) == 64 * 32 + 32 * 16 + 16 * 10
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, groups=1)
    assert process.multiplications(convolution, (3, 10, 10)) == 8 * 10 * 10 * 3 * 9


def test_counting_leaves_the_network_and_the_random_state_as_they_were():
    network = runner.build.model(runner.compose(["reg=dropout", "model.norm=batch"])).train()
    torch.manual_seed(3)
    before, state = torch.get_rng_state(), {key: value.clone() for key, value in network.state_dict().items()}
    process.multiplications(network, (1, 8, 8))
    assert network.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (["model=mlp"], 1),
        (["data=synthetic", "data.num_images=200", "data.batch_size=100"], 2),
        (["engine.num_threads=2"], 2),
    ],
)
def test_a_training_has_threads_by_the_work_of_its_step(words, number):
    runner.build.training(runner.compose(words))
    assert torch.get_num_threads() == number
