"""torch's optimizers with less around an update make torch's own updates."""

import subprocess
import sys

import pytest
import torch

from runner.optimizer import fast_step

KINDS = {
    "sgd": (fast_step.FastSGD, {"fused": True}),
    "momentum": (fast_step.FastSGD, {"momentum": 0.9, "weight_decay": 0.1, "fused": True}),
    "nesterov": (fast_step.FastSGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "adam": (fast_step.FastAdam, {"weight_decay": 0.1, "fused": True}),
    "adamw": (fast_step.FastAdamW, {"betas": (0.8, 0.9), "fused": True}),
    "adam, decoupled": (fast_step.FastAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True, "fused": True}),
    "adam, amsgrad": (fast_step.FastAdam, {"amsgrad": True, "fused": True}),
    "adamw, foreach": (fast_step.FastAdamW, {"foreach": True}),
    "adagrad": (fast_step.FastAdagrad, {"foreach": True}),
    "rmsprop": (fast_step.FastRMSprop, {"foreach": True}),
}


def params():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in ((3, 4), (4,), (2, 2))]


def give_gradients(parameters, step, without=()):
    generator = torch.Generator().manual_seed(step)
    for number, parameter in enumerate(parameters):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if number in without else gradient


def steps(optimizer, parameters, numbers, without=()):
    for number in numbers:
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + number)
        optimizer.zero_grad()
        give_gradients(parameters, number, without)
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_the_updates_and_the_state_are_those_of_torchs_class(kind):
    made, options = KINDS[kind]
    ours, theirs = params(), params()
    of_ours, of_theirs = made(ours, **options), fast_step.torch_class(made(ours, **options))(theirs, **options)
    steps(of_ours, ours, range(6))
    steps(of_theirs, theirs, range(6))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    states = of_ours.state_dict()["state"], of_theirs.state_dict()["state"]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_state_goes_on_as_if_it_had_not_stopped(kind):
    made, options = KINDS[kind]
    whole, cut = params(), params()
    steps(made(whole, **options), whole, range(6))
    first = made(cut, **options)
    steps(first, cut, range(3))
    second = made(cut, **options)
    second.load_state_dict(first.state_dict())
    steps(second, cut, range(3, 6))
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


# torch's fused SGD takes no parameters of which some have no velocity yet; `factories` gives one to each at the start.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("momentum", "nesterov")])
def test_a_parameter_without_gradient_stays_and_may_begin_later(kind):
    made, options = KINDS[kind]
    ours, theirs = params(), params()
    of_ours, of_theirs = made(ours, **options), fast_step.torch_class(made(ours, **options))(theirs, **options)
    before = ours[1].detach().clone()
    steps(of_ours, ours, range(3), without=[1])
    assert torch.equal(ours[1], before)
    steps(of_ours, ours, range(3, 6))
    steps(of_theirs, theirs, range(3), without=[1])
    steps(of_theirs, theirs, range(3, 6))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_gradients_of_a_closure_are_used():
    (parameter,) = made = [torch.tensor([1.0], requires_grad=True)]
    optimizer = fast_step.FastSGD(made, lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 1
    assert parameter.item() == 0


def test_a_training_imports_no_compiler(tmp_path):
    words = (
        f"['model=mlp', 'engine.max_steps=2', 'log.progress=none', 'log.tensorboard=false', 'output_dir={tmp_path}']"
    )
    code = (
        f"import sys, runner; runner.train({words}); print([n for n in ('torch._dynamo', 'sympy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "[]", done.stderr
