"""Layers in the form that maps over trials, and which parts of trials are told apart."""

import pytest
import torch
from torch import nn

from runner.engine.vectorized.layers import ColumnLinear, FoldedNorm, GatheredCrossEntropy, vmap_layer
from runner.engine.vectorized.template import same
from runner.loss import CrossEntropy


def test_a_linear_layer_keeps_its_parameters_its_mode_and_its_hooks():
    layer = nn.Linear(3, 2, bias=False).eval()
    called = []
    layer.register_forward_hook(lambda *_: called.append(1))
    made = vmap_layer(layer)
    assert type(made) is ColumnLinear
    assert made.weight is layer.weight
    assert (made.bias, made.training) == (None, False)
    x = torch.randn(4, 3)
    torch.testing.assert_close(made(x), x @ layer.weight.T)
    assert called == [1]


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_normalization_by_batch_statistics_that_are_kept_is_folded(kind):
    made = vmap_layer(kind(4, eps=0.25, momentum=0.3).eval())
    assert type(made) is FoldedNorm
    assert (made.num_features, made.eps, made.momentum, made.training) == (4, 0.25, 0.3, False)
    for arguments in ({"momentum": None}, {"affine": False}, {"track_running_stats": False}):
        assert vmap_layer(kind(4, **arguments)) is None


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(5,), (5, 3, 3)])
def test_folded_normalization_is_that_of_each_trial_alone(shared, training, size):
    torch.manual_seed(0)
    trials = [nn.BatchNorm2d(5) if len(size) == 3 else nn.BatchNorm1d(5) for _ in range(3)]
    for trial in trials:
        nn.init.normal_(trial.weight)
        nn.init.normal_(trial.bias)
        trial.running_mean.normal_()
        trial.running_var.uniform_(1, 2)
        trial.train(training)
    made = vmap_layer(trials[0])
    states = [trial.state_dict() for trial in trials]
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    x = torch.randn(4, *size) if shared else torch.randn(3, 4, *size)

    def call(tensors, images):
        return torch.func.functional_call(made, tensors, (images,))

    found = torch.vmap(call, in_dims=(0, None if shared else 0))(stacked, x)
    expected = torch.stack([trial(x if shared else x[place]) for place, trial in enumerate(trials)])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(stacked["running_mean"], torch.stack([trial.running_mean for trial in trials]))


def test_other_layers_are_as_good_as_any():
    for layer in (nn.ReLU(), nn.LayerNorm(3), nn.Conv2d(1, 1, 1), CrossEntropy(class_weights=torch.ones(2))):
        assert vmap_layer(layer) is None
    assert type(vmap_layer(CrossEntropy())) is GatheredCrossEntropy


ONE, TWO = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (ONE, ONE.clone(), True),
        (ONE, TWO, False),
        (ONE, ONE[None], False),
        (ONE, [1.0, 2.0], False),
        ({"a": ONE, "b": 1}, {"a": ONE.clone(), "b": 1}, True),
        ({"a": ONE}, {"a": TWO}, False),
        ({"a": ONE}, {"b": ONE}, False),
        (nn.Dropout(0.1), nn.Dropout(0.1), True),
        (nn.Dropout(0.1), nn.Dropout(0.2), False),
        (nn.Dropout(0.1), nn.Dropout2d(0.1), False),
        (CrossEntropy(class_weights=ONE), CrossEntropy(class_weights=ONE.clone()), True),
        (CrossEntropy(class_weights=ONE), CrossEntropy(class_weights=TWO), False),
        ((1, "a"), (1, "a"), True),
        (0.1, 0.2, False),
    ],
)
def test_parts_are_the_same_where_all_inside_is(one, other, expected):
    assert same(one, other) is expected
