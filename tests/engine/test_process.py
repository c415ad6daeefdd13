"""Small networks have one thread, large ones all."""

import ctypes
import inspect
from types import SimpleNamespace

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


def test_this_torch_wraps_the_methods_of_optimizers_as_known():
    """If this fails, torch keeps the compiler out of its optimizers otherwise: a run starts two seconds later."""
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(torch.optim.Optimizer, name).__wrapped__
        process._leave_compiler_out()
        assert "__dynamo_disable" in vars(plain)


def test_another_wrapper_of_torch_is_left_as_it_is(monkeypatch):
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        monkeypatch.setattr(torch.optim.Optimizer, name, inspect.unwrap(getattr(torch.optim.Optimizer, name)))
    process._leave_compiler_out()
    parameter = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    parameter.grad = torch.ones(1)
    optimizer.step()
    assert parameter.item() == 0.5


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_a_c_library_without_mallopt_is_left_as_it_is(monkeypatch, error):
    def library(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    process._keep_freed_memory()


def test_the_c_library_keeps_blocks_of_256_mib_and_all_that_is_freed(monkeypatch):
    calls = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *numbers: calls.append(numbers)))
    process._keep_freed_memory()
    assert calls == [(-3, 256 * 2**20), (-1, 2**31 - 1)]  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
