"""The updates are the same where a torch lacks the kernels that are called by private names."""

import copy

import pytest
import torch
from torch import nn

from runner import optimizer as optimizers
from runner.optimizer import torch_kernels
from runner.optimizer.torch_kernels import KERNELS, foreach, works


def tensors(count=3, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    return [torch.rand(2, number + 1, generator=numbers) + 0.1 for number in range(count)]


# Each operation that is called so, with its arguments.
CALLS = {
    "lerp_": lambda: ([tensors(seed=1), 0.3], {}),
    "copy_": lambda: ([tensors(seed=1)], {}),
    "add": lambda: ([tensors(seed=1)], {"alpha": 0.5}),
    "add_": lambda: ([0.5], {}),
    "mul_": lambda: ([0.5], {}),
    "sqrt": lambda: ([], {}),
    "addcmul_": lambda: ([tensors(seed=1), tensors(seed=2)], {"value": 0.5}),
    "addcdiv_": lambda: ([tensors(seed=1), tensors(seed=2)], {"value": -0.5}),
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", CALLS)
def test_an_operation_of_many_is_that_of_each(monkeypatch, name, together):
    if not together:
        monkeypatch.delattr(torch, f"_foreach_{name}")
    lists, options = CALLS[name]()
    expected = [
        getattr(tensor.clone(), name)(*(part[number] if isinstance(part, list) else part for part in lists), **options)
        for number, tensor in enumerate(tensors())
    ]
    changed = tensors()
    found = foreach(name, changed, *lists, **options)
    for got, want in zip(changed if name.endswith("_") else found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kernel", set(KERNELS.values()), ids=lambda kernel: kernel.__name__)
def test_this_torch_has_the_kernels(kernel):
    assert works(kernel)


@pytest.fixture
def without_kernels(monkeypatch):
    """A torch whose kernels take other arguments."""

    def changed(*args, **options):
        raise TypeError("unexpected keyword argument")

    works.cache_clear()
    for name in ("sgd", "adam", "adamw"):
        monkeypatch.setattr(torch, f"_fused_{name}_", changed)
    for name in CALLS:
        monkeypatch.delattr(torch, f"_foreach_{name}")
    yield
    works.cache_clear()


def trained(make, options):
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimizer = make(network, lr=0.1, **options)
    numbers = torch.Generator().manual_seed(1)
    for _ in range(5):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=numbers)
        optimizer.step()
    return copy.deepcopy(network.state_dict())


MADE = {
    "sgd": (optimizers.sgd, {"weight_decay": 0.1}),
    "momentum": (optimizers.momentum, {}),
    "nesterov": (optimizers.nesterov, {}),
    "adam": (optimizers.adam, {"weight_decay": 0.1}),
    "adam, uncorrected": (optimizers.adam, {"bias_correction": False, "weight_decay": 0.1}),
    "adamw": (optimizers.adamw, {}),
}
EXPECTED = {name: trained(*made) for name, made in MADE.items()}


@pytest.mark.parametrize("name", MADE)
def test_without_the_kernels_the_updates_are_the_same(monkeypatch, without_kernels, name):
    assert not works(torch_kernels.sgd)
    # torch's own step calls the same kernels, unless it is told to change tensors one by one.
    monkeypatch.setattr("runner.optimizer.factories._kernels", lambda groups: {"foreach": False})
    for key, value in trained(*MADE[name]).items():
        torch.testing.assert_close(value, EXPECTED[name][key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_a_kernel_that_does_not_work_is_left_to_torchs_own_step(monkeypatch, name):
    def refuse(*args):
        raise AssertionError("called")

    monkeypatch.setattr("runner.optimizer.fast_step.works", lambda kernel: False)
    monkeypatch.setattr("runner.optimizer.fast_step.KERNELS", dict.fromkeys(KERNELS, refuse))
    for key, value in trained(*MADE[name]).items():
        assert torch.equal(value, EXPECTED[name][key])
