"""Which configs may train together, told without torch."""

import subprocess
import sys

import pytest

import runner
from runner.vectorizable import reason_against, shape_of


def shape(*words):
    return shape_of(runner.compose(list(words)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer.lr=0.1", "optimizer.lr=1"),
        ("seed=0", "seed=7"),
        ("name=a", "name=b"),
        ("optimizer.betas=[0.9,0.99]", "optimizer.betas=[0.5,0.9]"),
        ("schedule.warmup_epochs=1", "schedule.warmup_epochs=5%"),
        ("average=lookahead average.start_epochs=1", "average=lookahead average.start_epochs=5%"),
        ("optimizer.param_groups=[{params:biases,lr_scale:2}]", "optimizer.param_groups=[{params:biases,lr_scale:3}]"),
    ],
)
def test_numbers_may_differ(one, other):
    assert shape(*one.split()) == shape(*other.split())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer=adam", "optimizer=adamw"),
        ("model.hidden=8", "model.hidden=16"),
        ("data.batch_size=8", "data.batch_size=16"),
        ("engine.epochs=2", "engine.epochs=3"),
        ("reg=l2", "reg=l1"),
        ("augment=[crop,flip]", "augment=[flip,crop]"),
        ("average=ema", "average=none"),
        ("optimizer.param_groups=[{params:biases,lr_scale:2}]", "optimizer.param_groups=[{params:norms,lr_scale:2}]"),
        ("average=lookahead average.return_each_epoch=true", "average=lookahead average.return_each_epoch=false"),
    ],
)
def test_what_decides_a_shape_or_a_length_may_not(one, other):
    assert shape(*one.split()) != shape(*other.split())


def test_the_reason_is_known_from_the_config_alone():
    assert reason_against(runner.compose([])) is None
    assert reason_against(runner.compose(["optimizer=lbfgs"])).startswith("optimizer=lbfgs cannot be vectorized")
    assert reason_against(runner.compose(["engine.precision=fp16"])).startswith(
        "engine.precision=fp16 cannot be vectorized"
    )


def test_no_torch_is_imported():
    code = "import sys, runner.vectorizable; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
