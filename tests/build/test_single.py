"""A training run as its config has it: its threads, its layout, and what L-BFGS refuses."""

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import runner
from runner.build import single as module
from runner.errors import UserError

SMALL = ["data=synthetic", "data.num_images=60", "data.image_size=8", "model=linear"]
LBFGS = [*SMALL, "optimizer=lbfgs", "data.batch_size=100"]


def built(*words):
    return runner.build.training(runner.compose([*SMALL, *words]))


@pytest.mark.parametrize(("words", "chosen"), [([], 1), (["engine.num_threads=1"], 0)])
def test_threads_are_chosen_by_the_size_of_a_batch_where_nothing_is_said(monkeypatch, words, chosen):
    seen = []
    monkeypatch.setattr(module.process, "set_num_threads", lambda *given: seen.append(given))
    made = built("data.batch_size=7", *words)
    assert len(seen) == chosen
    if chosen:
        ((network, shape, count),) = seen
        assert (network, shape, count) == (made.state.network, (3, 8, 8), 7)


def test_threads_of_trials_together_are_those_of_all_their_images(monkeypatch):
    seen = []
    monkeypatch.setattr(module.process, "set_num_threads", lambda network, shape, count: seen.append(count))
    runner.build.vectorize([runner.compose([*SMALL, "data.batch_size=7", f"seed={seed}"]) for seed in (0, 1, 2)])
    assert seen == [21]


@pytest.mark.parametrize(
    ("words", "is_last"), [([], False), (["engine.channels_last=true"], True), (["engine.channels_last=false"], False)]
)
def test_weights_lie_channels_last_where_that_is_said(words, is_last):
    weight = built("model=convnet", *words).state.network[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) is is_last


def test_a_graph_of_cuda_is_refused_elsewhere():
    with pytest.raises(
        UserError, match=r"^engine\.compile: graph is a CUDA graph, and this training runs on the cpu; "
    ):
        built("engine.compile=graph", "engine.device=cpu")


def test_images_that_cannot_be_read_are_told_before_the_training():
    class Refusing:
        @property
        def num_test_images(self):
            raise UserError("data.root: gone")

    with pytest.raises(UserError, match=r"^data\.root: gone"):
        runner.build.training(runner.compose(SMALL), Refusing())


def test_a_data_set_that_was_read_before_is_taken():
    cfg = runner.compose(SMALL)
    images = runner.build.data(cfg)
    setup = module.SharedSetup(cfg, images)
    assert setup.dataset is images
    assert module.SharedSetup(cfg, None).dataset is not images


def test_a_training_has_the_names_shape_and_fingerprint_of_its_images():
    made = built()
    images = runner.build.data(runner.compose(SMALL))
    assert list(made.class_names) == list(images.class_names)
    assert (made.image_shape, made.fingerprint) == ((3, 8, 8), images.fingerprint)
    assert made.state.network.training


def test_the_network_of_another_package_is_held_to_its_images(monkeypatch):
    checked = []
    monkeypatch.setattr(module, "check_network", lambda network, images, count: checked.append((images.shape, count)))
    built()
    assert checked == []
    cfg = runner.compose(SMALL)
    build = module.parts.model
    monkeypatch.setattr(
        module.parts, "model", lambda cfg, images, regularizers: build(runner.compose(SMALL), images, regularizers)
    )
    cfg.model._target_ = "torch.nn.Identity"
    runner.build.training(cfg)
    assert checked == [((1, 3, 8, 8), 10)]


def transferred(held, names=(), lines=()):
    """Stands for a transfer that has been made."""
    return lambda *_: SimpleNamespace(
        held=held, names=set(names), lines=list(lines), run_frozen_part_once=lambda step: None
    )


@pytest.mark.parametrize("weights", [None, "given"])
def test_a_network_is_shown_images_where_no_weights_are_loaded(monkeypatch, weights):
    shown = []
    monkeypatch.setattr(module.parts, "init_from_data", lambda network, train: shown.append(train))
    monkeypatch.setattr(module, "Transferred", transferred({}))
    setup = module.SharedSetup(runner.compose(SMALL), None)
    setup.weights = weights
    module.build_trial(runner.compose(SMALL), setup, [])
    assert shown == ([setup.train] if weights is None else [])


def test_layers_that_a_transfer_holds_are_held_in_the_average_too(monkeypatch):
    held = {"1": [nn.Parameter(torch.zeros(1))]}
    for holds in (held, {}):
        monkeypatch.setattr(module, "Transferred", transferred(holds, ["a"], [("transfer", "x")]))
        setup = module.SharedSetup(runner.compose(SMALL), None)
        state, _ = module.build_trial(runner.compose([*SMALL, "average=ema"]), setup, [])
        assert (state.average.held is holds) is bool(holds)
        assert setup.about == [("transfer", "x")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["data.batch_size=7"],
            "data.batch_size: optimizer=lbfgs needs the full batch and a loss without noise; set it to ",
        ),
        (["engine.precision=bf16"], "engine.precision: {why}, and bf16 rounds it; set it to fp32"),
        (
            ["engine.clip_grad_norm=1"],
            "engine.clip_grad_norm: optimizer=lbfgs searches along its own direction; set it to null",
        ),
        (["augment=flip"], "augment: {why}; set augment=none"),
        (["model=mlp", "reg=[l2,dropout]"], "reg: {why}, and dropout draws; leave it out"),
        (["model=alexnet", "data.image_size=64"], "model: {why}, and its layer "),
    ],
)
def test_lbfgs_refuses_what_makes_its_loss_noisy(words, said):
    why = "optimizer=lbfgs needs the full batch and a loss without noise"
    with pytest.raises(UserError, match="^" + re.escape(said.format(why=why))):
        runner.build.training(runner.compose([*LBFGS, "engine.precision=fp32", *words]))


def test_lbfgs_takes_a_full_batch_without_noise():
    made = runner.build.training(runner.compose([*LBFGS, "reg=l2", "engine.precision=fp32"]))
    assert made.train.num_batches == 1
    some = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    setup = module.SharedSetup(runner.compose([*LBFGS, "engine.precision=fp32"]), None)
    module._check_deterministic(runner.compose([]), some, [], setup)
    for layer in (nn.Dropout(0.1), nn.Dropout2d(0.1)):
        with pytest.raises(UserError, match="its layer 1 is dropout; set model"):
            module._check_deterministic(runner.compose([]), nn.Sequential(nn.Linear(2, 2), layer), [], setup)


@pytest.mark.parametrize(("reg", "count"), [("[l2,label_smoothing,mixup,max_norm]", 1), ("none", 0)])
def test_a_step_has_the_hooks_that_its_regularizers_have(reg, count):
    step = built("model=mlp", f"reg={reg}").step
    hooks = step.penalties, step.mixes, step.target_transforms, step.weight_projections
    assert [len(of_kind) for of_kind in hooks] == [count] * 4


def test_a_network_that_was_built_for_evaluation_trains(monkeypatch):
    build = module.parts.model
    monkeypatch.setattr(module.parts, "model", lambda *given: build(*given).eval())
    assert all(layer.training for layer in built("model=convnet").state.network.modules())
