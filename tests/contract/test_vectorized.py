"""Vectorized trials equal the same trials alone: every technique, over 50 steps of two trials."""

import importlib
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import nn

import runner
from runner import config
from runner.errors import CannotVectorize
from runner.reg import MaxNorm, Regularizer

STEPS = 50
MLP = ["model=mlp", "model.hidden=[16]"]
CONVNET = ["model=convnet", "model.channels=[4,6]", "model.hidden=16"]
RATES = {"optimizer.lr": (1e-3, 3e-3)}
DECAYS = {"optimizer.lr": (1e-2, 3e-3), "optimizer.weight_decay": (0.0, 0.1)}

# For each option: the words that choose it, and the numbers in which the two trials differ beside the seed.
OPTIONS = {
    "optimizer": {
        "sgd": (MLP, DECAYS),
        "momentum": (MLP, DECAYS | {"optimizer.momentum": (0.9, 0.5)}),
        "nesterov": (MLP, DECAYS | {"optimizer.momentum": (0.9, 0.5)}),
        "adagrad": (MLP, DECAYS | {"optimizer.eps": (1e-7, 1e-2)}),
        "rmsprop": (MLP, DECAYS | {"optimizer.alpha": (0.99, 0.9), "optimizer.eps": (1e-6, 1e-3)}),
        "adam": (MLP, DECAYS | {"optimizer.betas": ([0.9, 0.999], [0.5, 0.9]), "optimizer.eps": (1e-6, 1e-3)}),
        "adamw": (CONVNET, DECAYS | {"optimizer.betas": ([0.9, 0.999], [0.5, 0.9])}),
        "nadam": (MLP, DECAYS | {"optimizer.betas": ([0.9, 0.999], [0.5, 0.9]), "optimizer.eps": (1e-6, 1e-3)}),
        # The sign of a gradient that is 0 but for rounding is a whole step of its own.
        "lion": (MLP, {"optimizer.lr": (1e-5, 3e-5), "optimizer.weight_decay": (0.0, 0.1)}),
        "lamb": (CONVNET, DECAYS | {"optimizer.eps": (1e-4, 1e-3)}),
        "muon": (CONVNET, DECAYS | {"optimizer.momentum": (0.9, 0.5), "optimizer.adamw_lr_scale": (0.15, 0.5)}),
    },
    "schedule": {
        "constant": (MLP, {"schedule.warmup_epochs": (0.1, "20 steps")}),
        "cosine": (MLP, {"schedule.warmup_epochs": (0.1, 0.5), "schedule.min_factor": (0.0, 0.5)}),
        "cyclic": (MLP, {"schedule.period_epochs": (0.5, 1), "schedule.min_factor": (0.0, 0.5)}),
        "exponential": (MLP, {"schedule.decay_rate": (0.1, 3.0)}),
        "inverse_time": (MLP, {"schedule.decay_rate": (0.1, 3.0)}),
        "multistep": (MLP, {"schedule.milestones_epochs": ([0.5, 1], [0.2, 0.3]), "schedule.gamma": (0.1, 0.5)}),
        "one_cycle": (MLP, {"schedule.pct_start": (0.1, 0.3), "schedule.start_div": (10.0, 25.0)}),
        "plateau": (MLP, {"schedule.factor": (0.1, 0.5), "schedule.patience_epochs": (1, 3)}),
        "triangle": (MLP, {"schedule.peak_fraction": (0.1, 0.3), "schedule.end_factor": (0.0, 0.5)}),
        "step": (MLP, {"schedule.step_epochs": (0.2, 0.5), "schedule.gamma": (0.9, 0.5)}),
        "linear": (MLP, {"schedule.min_factor": (0.0, 0.5)}),
        "polynomial": (MLP, {"schedule.power": (0.5, 2.0), "schedule.min_factor": (0.0, 0.5)}),
        "wsd": (MLP, {"schedule.decay_epochs": ("30%", 1), "schedule.warmup_epochs": ("5%", "2 steps")}),
        "warm_restarts": (MLP, {"schedule.period_epochs": (0.3, 0.5), "schedule.period_factor": (1.0, 2.0)}),
    },
    "loss": {
        "cross_entropy": ([*MLP, "loss.class_weights=balanced"], RATES),
        "hinge": (MLP, {"loss.margin": (1.0, 0.3)}),
        "bce": ([*MLP, "reg=mixup", "loss.target_threshold=0.3"], RATES),
        "focal": ([*MLP, "loss.class_weights=balanced", "reg=label_smoothing"], {"loss.gamma": (1.0, 3.0)}),
    },
    "init": {
        "auto": (MLP, {"init.score_gain": (0.01, 0.5)}),
        "default": (MLP, RATES),
        # Many gradients are 0 but for rounding at first, of which Adam would make whole steps.
        "dirac": ([*CONVNET, "optimizer=momentum"], RATES),
        "he": (MLP, {"init.gain": (1.0, 0.5)}),
        "large": (MLP, {"init.gain": (0.1, 0.5)}),
        "small": (MLP, {"init.gain": (1.0, 5.0)}),
        "xavier": (MLP, {"init.gain": (1.0, 0.5)}),
    },
    "reg": {
        "none": (CONVNET, RATES),
        "l1": (MLP, {"reg.l1.strength": (1e-3, 1e-2)}),
        "l2": (CONVNET, {"reg.l2.strength": (0.0, 0.1)}),
        "elastic_net": (MLP, {"reg.elastic_net.strength": (1e-3, 1e-2), "reg.elastic_net.beta": (1.0, 3.0)}),
        "label_smoothing": (MLP, {"reg.label_smoothing.smoothing": (0.1, 0.4)}),
        "mixup": (MLP, {"reg.mixup.alpha": (0.2, 1.0)}),
        "cutmix": (MLP, {"reg.cutmix.alpha": (0.2, 1.0)}),
        "cutout": (MLP, {"reg.cutout.fraction": (0.3, 0.5)}),
        "max_norm": (CONVNET, {"reg.max_norm.max_norm": (0.5, 1.0)}),
    },
    "augment": {
        "none": (MLP, RATES),
        "color_jitter": (MLP, {"augment.color_jitter.brightness": (0.1, 0.4)}),
        "crop": (MLP, {"augment.crop.padding": (1, 2)}),
        "flip": ([*MLP, "augment.flip.alternate=true"], {"augment.flip.p": (0.5, 0.3)}),
        "lens": (MLP, {"augment.lens.strength": (0.1, 0.3)}),
        "pca_color": (MLP, {"augment.pca_color.std": (0.1, 0.5)}),
        "randaugment": (MLP, {"augment.randaugment.magnitude": (5, 9)}),
        "trivialaugment": (MLP, {"augment.trivialaugment.p": (0.5, 1.0)}),
        "autoaugment": (MLP, {"augment.autoaugment.p": (0.5, 1.0)}),
        "augmix": (MLP, {"augment.augmix.alpha": (0.5, 2.0), "augment.augmix.severity": (1, 5)}),
        "random_erasing": (MLP, {"augment.random_erasing.max_area": (0.1, 0.5)}),
        "rotate": (MLP, {"augment.rotate.degrees": (5, 30)}),
        "random_resized_crop": (MLP, {"augment.random_resized_crop.min_area": (0.2, 0.5)}),
        "scale_crop": (MLP, RATES),
        "shear": (MLP, {"augment.shear.degrees": (5, 20)}),
        "stretch": (MLP, RATES),
        "translate": (MLP, RATES),
    },
    "average": {
        "none": (MLP, RATES),
        "ema": (CONVNET, {"average.decay": (0.9, 0.99)}),
        "lookahead": (
            [*CONVNET, "average.return_each_epoch=true"],
            {
                "average.every_steps": (5, 3),
                "average.decay": (0.5, 0.9),
                "average.power": (0.0, 1.0),
                "average.start_epochs": ("2%", 0.3),
            },
        ),
    },
    "model": {
        "linear": ([], RATES),
        "mlp": (["model.hidden=[16,8]", "model.norm=batch", "model.activation=maxout", "optimizer=momentum"], RATES),
        "convnet": (["model.channels=[4,6]", "model.hidden=0", "model.norm=none", "model.activation=prelu"], RATES),
        # Where a gradient is near 0 Adam makes whole steps of its rounding, which a processor may do otherwise.
        "resnet": (["model.depth=20", "model.width=2", "optimizer=momentum"], RATES),
        "vit": (["model.width=12", "model.depth=2", "optimizer=momentum"], RATES),
        "convnext": (["model.channels=[4,6]", "model.depths=[1,1]", "model.layer_scale=0.1"], RATES),
        "nin": (["model.width=0.05", "model.dropout=0", "model.activation=tanh", "optimizer=momentum"], RATES),
        "whitened_convnet": (["model.channels=[4,6]", "optimizer=nesterov"], RATES),
    },
}
NOISY = {
    "dropout": (MLP, {"reg.dropout.p": (0.2, 0.5)}),
    "dropconnect": (MLP, {"reg.dropconnect.p": (0.1, 0.3)}),
    "stochastic_depth": (
        ["model=resnet", "model.depth=20", "model.width=2"],
        {"reg.stochastic_depth.last_survival": (0.5, 0.8)},
    ),
    "fractional_max_pool": (CONVNET, RATES),
}
each_noise = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "stochastic_depth")) for name in NOISY]
)
# Of the keys of model=linear, Unlike takes none but the dropout that it is given.
UNLIKE = ["model=linear", "model._target_=tests.contract.test_vectorized.Unlike", "+model.dropout=0.0"]
CASES = [(group, option) for group, options in OPTIONS.items() for option in options]


def configs(words, differences):
    """The configs of two trials."""
    first = config.compose(words)
    made = [first, first.copy()]
    for number, cfg in enumerate(made):
        cfg.seed = number
        for key, values in differences.items():
            OmegaConf.update(cfg, key, values[number])
    return made


def losses(training, num_steps=STEPS):
    """Losses [num_steps, T]; epochs end as in the loop."""
    found = []
    for epoch in range(num_steps):
        for batch in training.train.epoch(epoch):
            found.append(training.step(training.state, batch)[0])
            training.state.step += 1
            if len(found) == num_steps:
                return torch.stack(found)
    return torch.stack(found)


def alone(cfgs, num_steps=STEPS):
    trainings = [runner.build.training(cfg) for cfg in cfgs]
    return trainings, torch.cat([losses(training, num_steps) for training in trainings], dim=1)


@pytest.mark.parametrize(("group", "option"), CASES)
def test_a_vectorized_trial_equals_the_trial_alone(group, option):
    words, differences = OPTIONS[group][option]
    cfgs = configs([f"{group}={option}", *words], differences)
    singles, expected = alone(cfgs)
    together = runner.build.vectorize(cfgs)
    torch.testing.assert_close(losses(together), expected, rtol=2e-4, atol=1e-5)
    assert not torch.equal(expected[:, 0], expected[:, 1])
    for trial, single in enumerate(singles):
        member = together.state.of(trial)
        for name in ("network", "average"):
            ours, theirs = (getattr(state, name) for state in (member, single.state))
            if theirs is not None:
                for key, value in theirs.state_dict().items():
                    torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-3, atol=1e-4, msg=key)
    (scores, *_), (alone_,) = together.evaluate(together.state), singles[0].evaluate(singles[0].state)
    assert scores == pytest.approx(alone_, rel=1e-3)


def test_every_option_is_held_to_it_or_says_why_not():
    for group in OPTIONS:
        options = set(config.visible([path.stem for path in (config.folder() / group).glob("*.yaml")]))
        known = set(OPTIONS[group]) | (set(NOISY) if group == "reg" else set())
        if group == "loss":
            known |= {"distillation"}  # see tests/training/test_distillation.py
        if group == "average":
            known |= {"swa", "snapshots"}  # see the next
        if group == "model":
            known |= {
                "alexnet",
                "zfnet",
                "vgg",
                "googlenet",
                "inception_v3",
                "inception_v4",
                "torchvision",
                "timm",  # an extra: see tests/training/test_transfer.py
                "inception_v2",
                "inception_resnet_v2",
            }  # see the next
        assert options - known == ({"lbfgs"} if group == "optimizer" else set())


@pytest.mark.parametrize(
    "words",
    [
        ["model=alexnet", "model.width=0.03"],
        ["model=zfnet", "model.width=0.03"],
        ["model=vgg", "model.width=0.03"],
        ["model=inception_v2", "model.width=0.03"],
        ["model=alexnet", "model.variant=2012", "model.groups=2", "model.width=0.125"],
        ["model=resnet", "model.depth=20", "model.width=2", "model.residual=false"],
        pytest.param(["model=googlenet"], marks=pytest.mark.slow),
        ["model=torchvision", "model.name=squeezenet1_1"],
    ],
)
def test_large_networks_map_over_trials(words):
    cfgs = configs([*words, "data.batch_size=2", "data=synthetic", "data.num_images=20"], RATES)
    together = runner.build.vectorize(cfgs)
    assert losses(together, 1).isfinite().all()


@each_noise
def test_noise_depends_on_the_trials_own_seed_alone(name):
    words, differences = NOISY[name]
    one, other = configs([f"reg={name}", *words], differences)
    pair, turned, single = (
        losses(runner.build.vectorize(cfgs), 20) for cfgs in ([one, other], [other, one, one], [other])
    )
    torch.testing.assert_close(pair[:, 1:], single, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pair, turned[:, [1, 0]], rtol=1e-4, atol=1e-5)


def test_each_trial_has_its_own_predictions_of_the_validation_split():
    cfgs = configs(MLP, {"optimizer.lr": (0.0, 0.01)})
    together = runner.build.vectorize(cfgs)
    together.evaluate.keeps = True
    losses(together, 20)
    expected = together.evaluate(together.state)
    for trial in range(2):
        scores, labels = together.evaluate.predictions(trial)
        accuracy = (scores.argmax(1) == labels).double().mean().item()
        assert scores.shape == (len(labels), 10)
        assert accuracy == pytest.approx(expected[trial]["val/accuracy"], abs=1e-6)
    assert expected[0]["val/accuracy"] < expected[1]["val/accuracy"]


@each_noise
def test_with_noise_a_vectorized_trial_scores_as_the_trial_alone_does(name):
    words, differences = NOISY[name]
    cfgs = configs([f"reg={name}", *words], differences)
    together = runner.build.vectorize(cfgs)
    singles = [runner.build.training(cfg) for cfg in cfgs]
    expected = [single.evaluate(single.state)[0] for single in singles]
    for scores, alone_ in zip(together.evaluate(together.state), expected, strict=True):
        assert scores == pytest.approx(alone_, rel=1e-3)


@each_noise
def test_noise_has_the_statistics_of_the_trial_alone(name):
    # With a vanishing rate every batch sees the same weights, so the mean loss is that of the noise.
    words, differences = NOISY[name]
    cfgs = configs([f"reg={name}", *words, "optimizer=sgd", "data.batch_size=128"], differences)
    for cfg in cfgs:
        cfg.optimizer.lr, cfg.seed = 1e-30, 0
    _, expected = alone(cfgs, 40)
    together = losses(runner.build.vectorize(cfgs), 40)
    assert not torch.equal(together[0], together[10]), "the same batch"
    error = (expected.var(0) / 40 + together.var(0) / 40).sqrt()
    assert ((together.mean(0) - expected.mean(0)).abs() < 4 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["engine.clip_grad_norm=0.3"],
        ["optimizer=momentum", "optimizer.sam=0.1", "engine.clip_grad_norm=0.3", "reg=l2"],
        ["optimizer=adamw", "optimizer.layer_decay=0.5", "optimizer.decay_norms_and_biases=true"],
        [
            *("optimizer=sgd", "optimizer.sam=0.05", "engine.accumulate_steps=2"),
            "optimizer.param_groups=[{params:norms,freeze_after_epochs:0.5}]",
        ],
        ["engine.accumulate_steps=3", "reg=[mixup,label_smoothing]"],
        ["data.drop_last=true", "engine.limit_batches=7"],
        ["tta=flip"],
        ["tta=flip_translate"],
        [
            "optimizer=nesterov",
            "optimizer.param_groups=[{params:norms,freeze_after_epochs:0.5},{params:biases,lr_scale:2}]",
        ],
        [
            "optimizer=nesterov",
            "optimizer.param_groups=[{params:norms,freeze_after_epochs:0.5}]",
            "engine.clip_grad_norm=0.3",
        ],
        ["data.loading=workers", "data.num_workers=0"],
        [
            "optimizer=momentum",
            "optimizer.param_groups=[{params:biases,lr_scale:2,weight_decay:0.1},{params:norms,momentum:0.5}]",
        ],
        ["augment=[crop,flip]", "augment.crop.padding=1", "reg=[l2,label_smoothing,cutmix]", "average=ema"],
    ],
)
def test_settings_act_on_each_trial_as_alone(words):
    cfgs = configs([*CONVNET, *words], RATES)
    singles, expected = alone(cfgs, 30)
    together = runner.build.vectorize(cfgs)
    torch.testing.assert_close(losses(together, 30), expected, rtol=2e-4, atol=1e-5)
    scores = [single.evaluate(single.state)[0] for single in singles]
    for ours, theirs in zip(together.evaluate(together.state), scores, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("words", [[], ["augment=crop", "augment.crop.padding=1", "reg=mixup"]])
def test_trials_of_one_seed_and_augmentation_share_their_batches(words):
    cfgs = configs([*MLP, *words], RATES)
    cfgs[1].seed = 0
    _, expected = alone(cfgs, 30)
    together = runner.build.vectorize(cfgs)
    images, labels = next(iter(together.train.epoch()))
    assert (images.ndim, labels.ndim) == (4, 1)
    torch.testing.assert_close(losses(together, 30), expected, rtol=2e-4, atol=1e-5)


def test_decoupled_decay_of_torchs_adam_is_that_of_adamw():
    words = ["optimizer._target_=torch.optim.Adam", "+optimizer.decoupled_weight_decay=true"]
    cfgs = configs([*MLP, "optimizer=adamw", *words, "optimizer.weight_decay=0.5"], RATES)
    _, expected = alone(cfgs, 30)
    torch.testing.assert_close(losses(runner.build.vectorize(cfgs), 30), expected, rtol=2e-4, atol=1e-5)


@dataclass
class Temper(Regularizer):
    """A user's regularizer whose number lives in a layer of its own."""

    factor: float = 1.0

    def attach(self, network):
        network.append(Times(self.factor))


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Unlike(nn.Sequential):
    """A user's network whose dropout is there only where it drops, or of a kind that cannot be vectorized."""

    def __init__(self, in_channels: int, image_size: int, num_classes: int, kind: str, dropout: float = 0.0):
        layer = nn.AlphaDropout(dropout) if kind == "alpha" else nn.Dropout(dropout) if dropout else None
        features = nn.Linear(in_channels * image_size**2, num_classes)
        super().__init__(nn.Flatten(), *([layer] if layer else []), features)


@pytest.mark.parametrize(
    ("words", "differences", "what"),
    [
        (
            [*MLP, "+reg.temper._target_=tests.contract.test_vectorized.Temper", "+reg.temper.factor=1"],
            {"reg.temper.factor": (1.0, 0.1)},
            "factor of layer",
        ),
        ([*UNLIKE, "+model.kind=alpha"], {"model.dropout": (0.1, 0.9)}, "p of layer 1"),
        ([*UNLIKE, "+model.kind=usual"], {"model.dropout": (0.0, 0.9)}, "some of the trials have a layer 2"),
    ],
)
def test_networks_that_differ_in_more_than_numbers_of_tensors_are_refused(words, differences, what):
    with pytest.raises(CannotVectorize, match=what):
        runner.build.vectorize(configs(words, differences))


def test_bf16_agrees_within_its_precision():
    cfgs = configs([*CONVNET, "engine.precision=bf16"], RATES)
    _, expected = alone(cfgs, 10)
    torch.testing.assert_close(losses(runner.build.vectorize(cfgs), 10), expected, rtol=0.1, atol=0.02)


@pytest.mark.parametrize(
    ("words", "differences", "key"),
    [
        (["optimizer=lbfgs"], {}, "optimizer=lbfgs"),
        (["engine.precision=fp16"], {}, "engine.precision=fp16"),
        ([], {"data.batch_size": (16, 32)}, "data.batch_size"),
        ([], {"engine.epochs": (2, 3)}, "engine.epochs"),
        (["model=mlp"], {"model.hidden": ([8], [16])}, "model.hidden"),
        (["optimizer=adam"], {"optimizer.bias_correction": (True, False)}, "optimizer.bias_correction"),
        (["optimizer=sgd", "optimizer._target_=torch.optim.ASGD"], {}, "optimizer: ASGD"),
        (["reg=dropout"], {"reg.dropout.layers": ("linear", "both")}, "reg.dropout.layers"),
        ([], {"loss.class_weights": ([1.0] * 10, [2.0] * 10)}, "loss.class_weights"),
    ],
)
def test_what_cannot_be_vectorized_is_refused_by_its_key(words, differences, key):
    cfgs = configs(words, differences)
    with pytest.raises(CannotVectorize, match=f"^{key}"):
        runner.build.vectorize(cfgs)


def test_trials_climb_each_by_its_own_radius():
    cfgs = configs([*CONVNET, "optimizer=momentum"], RATES | {"optimizer.sam": (0.0, 0.2)})
    _, expected = alone(cfgs, 30)
    torch.testing.assert_close(losses(runner.build.vectorize(cfgs), 30), expected, rtol=2e-4, atol=1e-5)


def test_layer_decay_differs_in_its_factor_alone():
    cfgs = configs([*CONVNET, "optimizer=adamw"], RATES | {"optimizer.layer_decay": (0.5, 0.9)})
    _, expected = alone(cfgs, 30)
    torch.testing.assert_close(losses(runner.build.vectorize(cfgs), 30), expected, rtol=2e-4, atol=1e-5)
    cfgs = configs([*CONVNET, "optimizer=adamw"], {"optimizer.layer_decay": (0.5, None)})
    with pytest.raises(CannotVectorize, match=r"^optimizer.layer_decay"):
        runner.build.vectorize(cfgs)


@pytest.mark.parametrize("words", [["average=swa"], ["average=snapshots", "schedule=cyclic"]])
def test_averages_that_look_at_images_or_keep_copies_are_refused(words):
    with pytest.raises(CannotVectorize, match=r"average: .* cannot be vectorized"):
        runner.build.vectorize(configs([*MLP, *words], RATES))


def test_max_norm_is_the_same_for_one_number_of_all_trials():
    weights = torch.randn(3, 5, 2, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([weight.clone().renorm_(2, 0, 1.5) for weight in weights])
    MaxNorm(1.5).project_stacked(weights)
    torch.testing.assert_close(weights, expected, rtol=1e-6, atol=1e-7)
    assert weights.flatten(2).norm(dim=2).max() <= 1.5 * (1 + 1e-6)


def test_a_weight_that_is_frozen_keeps_its_norm_in_vectorized_trials():
    words = [*MLP, "reg=max_norm", "reg.max_norm.max_norm=0.1", "init=large"]
    words += ["optimizer.param_groups=[{params: 1.weight, lr_scale: 0}]"]
    cfgs = [runner.compose([*words, f"optimizer.lr={lr}"]) for lr in (0.01, 0.02)]
    made = runner.build.vectorize(cfgs)
    batch = next(iter(made.train.epoch()))
    made.step(made.state, batch)
    for trial in range(2):
        weights = dict(made.state.of(trial).network.named_parameters())
        norms = {name: weights[name].norm(dim=1).max() for name in ("1.weight", "3.weight")}
        assert norms["1.weight"] > 0.11 > norms["3.weight"]


def test_a_device_whose_precision_is_fp16_trains_one_by_one(monkeypatch):
    module = importlib.import_module("runner.build.vectorized")
    monkeypatch.setattr(module, "SharedSetup", lambda *_: SimpleNamespace(precision=SimpleNamespace(name="fp16")))
    with pytest.raises(CannotVectorize, match=r"^engine\.precision: fp16 scales all gradients by one number"):
        runner.build.vectorize(configs(["model=mlp"], RATES))


class DropsByFunction(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x):
        return F.dropout(self.first(self.frozen(x)), training=self.training)


def test_dropout_that_is_no_layer_is_refused_where_the_network_is_cut():
    module = importlib.import_module("runner.build.vectorized")
    network = DropsByFunction()
    state = SimpleNamespace(network=network, average=None)
    setup = SimpleNamespace(cut=1, rest_of=1)
    module._check_transfer(state, network, setup)  # its own forward function knows that it evaluates
    with pytest.raises(CannotVectorize, match=r"^model: its dropout is no layer"):
        module._check_transfer(state, torch.fx.symbolic_trace(network), setup)
