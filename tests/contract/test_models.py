"""Every word of the group `model`: golden parameter counts, first loss, overfitting, shapes, real training steps."""

import functools
import json
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

import runner
from runner import build, config
from runner.init import He

CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A form of a network that is small enough to train in a test."""

    word: str
    small: dict[str, Any] = field(default_factory=dict)
    lr: float = 2e-3

    def __str__(self) -> str:
        return "-".join([self.word, *(f"{key}={value}" for key, value in self.small.items())])

    def build(self, in_channels: int = 3, image_size: int = 8, **keys: Any) -> torch.nn.Module:
        return network(self.word, in_channels, image_size, CLASSES, **(self.small | keys))


CASES = [
    Case("linear", lr=0.05),
    Case("mlp", {"hidden": [64, 64]}),
    Case("mlp", {"hidden": [64, 64], "norm": "batch"}),
    Case("convnet", {"channels": [8, 16], "hidden": 32}),
    Case("alexnet", {"width": 0.125, "dropout": 0.0}),
    Case("alexnet", {"width": 0.125, "dropout": 0.0, "variant": 2012}),
    Case("zfnet", {"width": 0.125, "dropout": 0.0}),
    Case("vgg", {"width": 0.125, "dropout": 0.0, "depth": 11}),
    Case("vgg", {"width": 0.125, "dropout": 0.0, "depth": 16, "norm": "batch"}),
    Case("googlenet", {"width": 0.125, "dropout": 0.0, "aux_dropout": 0.0}),
    Case("googlenet", {"width": 0.25, "dropout": 0.0, "aux_dropout": 0.0, "variant": 2014}),
    Case("alexnet", {"width": 0.125, "dropout": 0.0, "variant": 2012, "groups": 2, "order": "pool_norm"}),
    Case("nin", {"width": 0.25, "dropout": 0.0}),
    Case("nin", {"width": 0.125, "dropout": 0.0, "norm": "batch"}, lr=0.01),
    Case("vit", {"width": 48, "depth": 2}),
    Case("convnext", {"channels": [16, 32], "depths": [1, 2]}),
    Case("inception_v2", {"width": 0.125, "dropout": 0.0}),
    Case("inception_resnet_v2", {"width": 0.125, "dropout": 0.0}),
    Case("resnet", {"depth": 20, "width": 8, "residual": False}, lr=0.01),
    Case("resnet", {"depth": 20, "width": 8}),
    Case("resnet", {"depth": 18}),
    Case("inception_v3", {"width": 0.125, "dropout": 0.0}),
    Case("inception_v4", {"width": 0.125, "dropout": 0.0}, lr=5e-3),
    Case("whitened_convnet", {"channels": [16, 32]}, lr=0.02),
    Case("whitened_convnet", {"channels": [16, 32], "whiten": False, "depth": 1}, lr=0.02),
    Case("torchvision", {"name": "mobilenet_v3_small"}),
]
WORDS = sorted({case.word for case in CASES})
LARGE = {"googlenet", "inception_v2", "inception_v3", "inception_v4", "inception_resnet_v2", "torchvision"}
each_case = pytest.mark.parametrize("case", CASES, ids=str)
# Training them takes longer than all others together; what tells networks apart is held by parameter counts and scores.
each_trained_case = pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=[pytest.mark.slow] * (one.word in LARGE or one.small == {"depth": 18})) for one in CASES],
    ids=str,
)


def slow_if_large(words):
    return [pytest.param(word, marks=[pytest.mark.slow] * (word in LARGE)) for word in words]


@functools.cache
def node(word: str) -> DictConfig:
    return config.compose([f"model={word}"]).model


def network(word: str, in_channels: int, image_size: int, num_classes: int, **keys: Any) -> torch.nn.Module:
    given = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    return build.instantiate(OmegaConf.merge(node(word), keys), "model", **given)


def scores(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def test_every_word_has_a_case():
    # Networks of timm have a test of their own, for that is an extra.
    assert sorted(path.stem for path in (config.folder() / "model").glob("[!_]*.yaml") if path.stem != "timm") == WORDS


# word, keys, image size, classes, parameters as published (or counted by hand from the layers' sizes)
GOLDEN: list[tuple[str, dict[str, Any], int, int, int]] = [
    ("linear", {}, 32, 10, 3072 * 10 + 10),
    ("mlp", {"hidden": [100]}, 32, 10, 3072 * 100 + 100 + 1000 + 10),
    ("mlp", {"hidden": []}, 32, 10, 3072 * 10 + 10),
    ("convnet", {"channels": [32], "hidden": 0}, 32, 10, 27 * 32 + 64 + 32 * 16 * 16 * 10 + 10),
    ("alexnet", {}, 224, 1000, 61_100_840),
    ("alexnet", {"variant": 2012}, 224, 1000, 62_378_344),
    ("zfnet", {}, 224, 1000, 107_627_624),
    ("vgg", {"depth": 11}, 224, 1000, 132_863_336),
    ("vgg", {"depth": 13}, 224, 1000, 133_047_848),
    ("vgg", {"depth": 16}, 224, 1000, 138_357_544),
    ("vgg", {"depth": 19}, 224, 1000, 143_667_240),
    ("vgg", {"depth": 16, "norm": "batch"}, 224, 1000, 138_365_992),
    ("googlenet", {}, 224, 1000, 13_004_888),
    ("googlenet", {"aux_weight": 0}, 224, 1000, 6_624_904),
    ("resnet", {"depth": 18}, 224, 1000, 11_689_512),
    ("resnet", {"depth": 34}, 224, 1000, 21_797_672),
    ("resnet", {"depth": 50}, 224, 1000, 25_557_032),
    ("resnet", {"depth": 101}, 224, 1000, 44_549_160),
    ("resnet", {"depth": 152}, 224, 1000, 60_192_808),
    ("resnet", {"depth": 20}, 32, 10, 269_722),
    ("resnet", {"depth": 32}, 32, 10, 464_154),
    ("resnet", {"depth": 44}, 32, 10, 658_586),
    ("resnet", {"depth": 56}, 32, 10, 853_018),
    ("resnet", {"depth": 110}, 32, 10, 1_727_962),
    ("inception_v3", {}, 299, 1000, 27_161_264),
    ("inception_v3", {"aux_weight": 0}, 299, 1000, 23_834_568),
    ("inception_v4", {}, 299, 1000, 42_679_816),
    # Caffe's bvlc_googlenet; the paper's table 1 adds up to 6.8 M.
    ("googlenet", {"variant": 2014}, 224, 1000, 13_378_280),
    ("googlenet", {"variant": 2014, "aux_weight": 0}, 224, 1000, 6_998_552),
    ("alexnet", {"variant": 2012, "groups": 2}, 224, 1000, 60_965_224),
    # TensorFlow's test of its inception_v2 counts 10,173,112 without the classifier. Of these, 2,776 are its separable
    # first layer, ours has 9,408 + 2 * 64; and it counts 3 numbers for each further map's normalization, we 2.
    ("inception_v2", {}, 224, 1000, 10_173_112 - 2_776 + 9_408 + 128 - 9_888 + 1_025_000),
    ("inception_resnet_v2", {}, 299, 1000, 55_843_464),  # timm's
    ("nin", {}, 32, 10, 966_986),
    ("nin", {}, 224, 1000, 7_595_176),
    ("vit", {"patch_size": 16, "width": 768, "depth": 12, "heads": 12}, 224, 1000, 86_567_656),
    ("vit", {"patch_size": 32, "width": 1024, "depth": 24, "heads": 16}, 224, 1000, 306_535_400),
    ("convnext", {"channels": [96, 192, 384, 768], "depths": [3, 3, 9, 3]}, 224, 1000, 28_589_128),
    ("convnext", {"channels": [96, 192, 384, 768], "depths": [3, 3, 27, 3]}, 224, 1000, 50_223_688),
    ("convnext", {"patch_size": 4}, 224, 1000, 3_695_520),  # by hand; timm says 3.70 M
    # Projections on shortcuts: 1x1 of 64-128-256-512 and two numbers a map.
    (
        *("resnet", {"depth": 34, "residual": False}, 224, 1000),
        21_797_672 - (64 * 128 + 128 * 256 + 256 * 512) - 2 * (128 + 256 + 512),
    ),
    ("resnet", {"depth": 20, "residual": False}, 32, 10, 269_722),
    ("whitened_convnet", {}, 32, 10, 1_972_792),
    ("whitened_convnet", {"channels": [8], "depth": 1}, 32, 10, 24 * 13 + 24 * 8 * 9 + 16 + 80),
    ("torchvision", {"name": "efficientnet_b0"}, 224, 1000, 5_288_548),
    ("torchvision", {"name": "vit_b_16"}, 224, 1000, 86_567_656),
]


def golden_id(value: Any) -> str | None:
    return ",".join(f"{key}={item}" for key, item in value.items()) or "default" if isinstance(value, dict) else None


@pytest.mark.parametrize(("word", "keys", "image_size", "num_classes", "count"), GOLDEN, ids=golden_id)
def test_parameter_count_is_the_published_one(word, keys, image_size, num_classes, count):
    with torch.device("meta"):
        built = network(word, 3, image_size, num_classes, **keys)
    assert sum(parameter.numel() for parameter in built.parameters()) == count


# How many times the loss of one classifier a network's loss is, by its published weights of the auxiliary ones.
CLASSIFIERS = {"googlenet": 1 + 2 * 0.3, "inception_v3": 1 + 0.4}


def first_loss(case, *words):
    keys = [f"model.{key}={json.dumps(value)}" for key, value in case.small.items()]
    training = build.training(runner.compose([f"model={case.word}", *keys, "data=synthetic", *words]))
    loss, _ = training.step(training.state, next(training.train.epoch()))
    return loss.item()


FIRST_LOSSES = {"cross_entropy": math.log(CLASSES), "hinge": CLASSES - 1}


@pytest.mark.parametrize("loss", FIRST_LOSSES)
@each_trained_case
def test_first_loss_of_a_training_is_that_of_no_knowledge(case, loss):
    found = first_loss(case, f"loss={loss}", "data.image_size=32", "data.num_images=300")
    assert found == pytest.approx(CLASSIFIERS.get(case.word, 1) * FIRST_LOSSES[loss], rel=0.05)


@each_trained_case
def test_first_loss_from_each_layer_s_own_start_is_near_the_log_of_the_number_of_classes(case):
    expected = CLASSIFIERS.get(case.word, 1) * math.log(CLASSES)
    assert first_loss(case, "data.image_size=16", "init=default") == pytest.approx(expected, abs=0.5)


@each_trained_case
def test_overfits_20_examples(case):
    torch.manual_seed(0)
    built = case.build(in_channels=1, image_size=8)
    He()(built)
    images, labels = torch.randn(20, 1, 8, 8), torch.arange(20) % CLASSES
    optimizer = torch.optim.Adam(built.parameters(), lr=case.lr)
    losses = []
    for _ in range(100):
        loss = F.cross_entropy(scores(built(images)), labels)
        losses.append(loss.item())
        if losses[-1] < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.05


@pytest.mark.parametrize("image_size", [8, 28, 32, 64, 65, 224, 299])
@pytest.mark.parametrize("word", slow_if_large(word for word in WORDS if word != "torchvision"))  # which has own sizes
def test_scores_are_batch_by_classes_at_every_usual_size(word, image_size):
    with torch.device("meta"):
        built = network(word, 1, image_size, CLASSES)
        images = torch.zeros(2, 1, image_size, image_size)
    output = built(images)
    outputs = [output] if isinstance(output, Tensor) else list(output)
    assert [tuple(output.shape) for output in outputs] == [(2, CLASSES)] * len(outputs)
    assert tuple(built.eval()(images).shape) == (2, CLASSES)


@each_case
def test_state_dict_round_trip_repeats_the_scores(case):
    torch.manual_seed(0)
    first, second = case.build(), case.build()
    images = torch.randn(2, 3, 8, 8)
    before = second.eval()(images)
    second.load_state_dict(first.state_dict())
    expected = first.eval()(images)
    assert torch.equal(second(images), expected)
    assert not torch.equal(before, expected)


@pytest.mark.parametrize("word", slow_if_large(WORDS))
def test_every_word_trains_through_the_command_s_own_pieces(word):
    cfg = runner.compose(
        [f"model={word}", "data=digits", "data.batch_size=4", "engine.device=cpu", "optimizer.lr=1e-4"]
    )
    config.check(cfg)
    training = build.training(cfg)
    built, state = training.state.network, training.state
    trained = {name: parameter for name, parameter in built.named_parameters() if parameter.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    batches = training.train.epoch(0)
    for _ in range(2):
        losses, _ = training.step(state, next(batches))
        state.step += 1
        assert torch.isfinite(losses).all()
    still = [name for name, parameter in trained.items() if torch.equal(parameter, before[name])]
    assert not still
    assert all(parameter.grad is not None for parameter in trained.values())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=resnet", "model.activation=maxout"], "model.activation: maxout doubles"),
        (["model=resnet", "model.width=32"], "model.width: depth 18 has its published widths alone"),
        (["model=resnet", "model.depth=20", "model.stem=imagenet"], "model.stem: depth 20 has the cifar stem alone"),
        (["model=resnet", "model.depth=19"], "model.depth: must be one of 18, 34"),
        (["model=vgg", "model.depth=18"], "model.depth: must be one of 11, 13, 16, 19, not 18"),
        (["model=alexnet", "model.variant=2013"], "model.variant: must be one of 2012, 2014"),
        (["model=alexnet", "model.stem=imagenet"], "data.image_size: AlexNet takes images of 63 pixels or more, not 8"),
        (["model=zfnet", "model.stem=imagenet"], "data.image_size: ZFNet takes images of 47 pixels or more, not 8"),
        (["model=googlenet", "model.stem=imagenet"], "data.image_size: GoogLeNet takes images of 15 pixels or more"),
        (["model=googlenet", "model.width=0.3"], "model.width: must be a multiple of 1/8"),
        (["model=inception_v3", "model.width=0.1"], "model.width: must be a multiple of 1/16"),
        (["model=inception_v3", "model.min_size=32"], "model.min_size: must be at least 75"),
        (["model=inception_v4", "model.min_size=32"], "model.min_size: must be at least 75"),
        (["model=vit", "model.heads=5"], "model.heads: must divide model.width=192, and 5 does not"),
        (["model=convnext", "model.depths=[1]"], "model.depths: must have one depth for each of model.channels=[40, "),
        (["model=alexnet", "model.groups=2"], "model.groups: 2 needs model.variant=2012"),
        (["model=alexnet", "model.order=pool_norm"], "model.order: pool_norm needs model.variant=2012"),
        (
            ["model=alexnet", "model.variant=2012", "model.groups=2", "model.width=0.03"],
            "model.width: 0.03 gives 3 and 8 maps, which groups=2 cannot halve",
        ),
        (["model=nin", "model.stem=imagenet"], "data.image_size: NIN takes images of 11 pixels or more, not 8"),
        (["model=mlp", "model.activation=swish"], "model.activation: must be one of 'relu', 'sigmoid'"),
        (
            ["model=torchvision", "model.name=resnet19"],
            "model.name: torchvision has no classifier 'resnet19'; did you mean",
        ),
        (["model=torchvision", "model.name=fcos_resnet50_fpn"], "model.name: torchvision has no classifier"),
        (
            ["model=torchvision", "model.name=densenet121"],
            "data.image_size: densenet121 cannot take images of 8 pixels",
        ),
        (["model=torchvision", "model.name=vit_b_16"], "data.image_size: vit_b_16 cannot take images of 8 pixels"),
    ],
)
def test_a_misfit_is_one_line_that_names_the_key(overrides, message):
    cfg = runner.compose(overrides)

    def checked_and_built():
        config.check(cfg)
        build.model(cfg)

    with pytest.raises(runner.UserError) as caught:
        checked_and_built()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_torchvisions_network_says_of_the_images_is_passed_on():
    with pytest.raises(runner.UserError, match=r"of 8 pixels \(.*too small.*\); it is made for \d+ or more$"):
        build.model(runner.compose(["model=torchvision", "model.name=densenet121"]))
    with pytest.raises(runner.UserError, match=r"of 8 pixels \(.*\); it is made for 224 or a size that suits$"):
        build.model(runner.compose(["model=torchvision", "model.name=vit_b_16"]))
