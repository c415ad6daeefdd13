"""The recipes of their day: their settings, and that they train at a small size on embedded data."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import runner
from runner import config

SMALL = ["data=synthetic", "data.num_images=60", "data.image_size=32", "data.batch_size=20", "engine.limit_batches=2"]

# The settings of the recipe, and what makes its network small.
RECIPES = {
    "alexnet_2012": (
        {
            "optimizer._target_": "runner.optimizer.momentum",
            "optimizer.momentum": 0.9,
            "optimizer.lr": 0.01,
            "data.batch_size": 128,
            "schedule._target_": "runner.schedule.Plateau",
            "schedule.factor": 0.1,
            "optimizer.weight_decay": 5e-4,  # v = 0.9 v - 5e-4 lr w - lr g: half the gradient of the lectures' penalty
            "model.dropout": 0.5,
            "model.variant": 2012,
            "init._target_": "runner.init.Small",
            "init.score_gain": None,
            "data.preprocess": "mean_image",
            "tta._target_": "runner.tta.TenCrop",
        },
        ["model.width=0.05"],
    ),
    "vgg_2014": (
        {
            "optimizer.momentum": 0.9,
            "optimizer.lr": 0.01,
            "data.batch_size": 256,
            "schedule.factor": 0.1,
            "optimizer.weight_decay": 5e-4,
            "model.dropout": 0.5,
            "model.norm": "none",
            "data.preprocess": "channel_mean",
            "tta._target_": "runner.tta.TenCrop",
            "tta.scale": pytest.approx(384 / 224),
        },
        ["model.width=0.05"],
    ),
    "googlenet_2014": (
        {
            "optimizer.momentum": 0.9,
            "schedule._target_": "runner.schedule.Step",
            "schedule.gamma": 0.96,
            "schedule.step_epochs": 8,
            "model.aux_weight": 0.3,
            "model.dropout": 0.4,
            "model.aux_dropout": 0.7,
            "data.preprocess": "channel_mean",
            "augment.random_resized_crop.min_area": 0.08,
            "augment.random_resized_crop.max_area": 1.0,
            "augment.random_resized_crop.aspect": pytest.approx(4 / 3),
            "average._target_": "runner.average.EMA",
        },
        ["model.width=0.125"],
    ),
    "resnet_2015": (
        {
            "optimizer.momentum": 0.9,
            "optimizer.lr": 0.1,
            "optimizer.weight_decay": 1e-4,
            "data.batch_size": 256,
            "schedule.factor": 0.1,
            "init._target_": "runner.init.He",
            "data.preprocess": "mean_image",
            "augment.scale_crop.min_scale": pytest.approx(256 / 224),
            "augment.scale_crop.max_scale": pytest.approx(480 / 224),
            "tta._target_": "runner.tta.TenCrop",
        },
        ["model.depth=20", "model.width=4"],
    ),
    "airbench94": (
        {
            "data.batch_size": 1024,
            "data.drop_last": True,
            "model.channels": [64, 256, 256],
            "model.scale": pytest.approx(1 / 9),
            "init._target_": "runner.init.Dirac",
            # In the script's form: 11.5 and 0.0153 per 1024 images, by the reach 1 + 1 / (1 - 0.85) of momentum.
            "optimizer.lr": pytest.approx(11.5 / (1 + 1 / 0.15)),
            "optimizer.momentum": 0.85,
            "optimizer.weight_decay": pytest.approx(0.0153 / 11.5),
            "optimizer.param_groups": [
                {"params": "norm_biases", "lr_scale": 64, "weight_decay": pytest.approx(0.0153 / 11.5 / 64)},
                {"params": "first.bias", "freeze_after_epochs": 3, "weight_decay": pytest.approx(0.0153 / 11.5)},
            ],
            "reg.label_smoothing.smoothing": 0.2,
            "augment.flip.alternate": True,
            "augment.crop.padding": 2,
            "augment.crop.padding_mode": "reflect",
            "average.decay": pytest.approx(0.95**5),
            "average.power": 3,
            "tta._target_": "runner.tta.FlipTranslate",
            "engine.max_steps": math.ceil(9.9 * (50_000 // 1024)),
        },
        ["model.channels=[4,8]", "average.start_epochs=0"],
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_has_the_settings_of_its_day(name):
    cfg = runner.compose([f"experiment={name}", "data.root=here"])
    config.check(cfg)
    leaves = config.flatten(cfg)
    expected, _ = RECIPES[name]
    assert {key: leaves[key] for key in expected} == expected
    assert "dropout" not in cfg.reg
    assert "flip" in cfg.augment


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "airbench94"])
def test_augments_as_its_day_did(name):
    cfg = runner.compose([f"experiment={name}", "data.root=here"])
    assert ("random_resized_crop" if name == "googlenet_2014" else "scale_crop") in cfg.augment
    assert ("pca_color" in cfg.augment) == (name != "googlenet_2014")
    assert "l2" not in cfg.reg  # the papers' decay is the optimizer's


def test_alexnet_starts_as_its_paper_says():
    # Krizhevsky et al. 2012, section 5: N(0, 0.01) in each layer; biases 1 in convolutions 2, 4, 5 and hidden layers.
    words = ["data=synthetic", "data.image_size=224", "model.width=0.25"]
    network = runner.build.model(runner.compose(["experiment=alexnet_2012", *words]))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert [layer.bias.unique().tolist() for layer in layers] == [[b] for b in (0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0)]
    stds = [layer.weight.std().item() for layer in layers]
    assert [stds[0] / 255, *stds[1:]] == pytest.approx([0.01] * 8, rel=0.05)  # of pixels from 0 to 255


def test_alexnets_update_is_its_papers():
    # v = 0.9 v - 0.0005 lr w - lr g; w = w + v, of the weights; momentum, lr and decay as the recipe has them.
    cfg = runner.compose(["experiment=alexnet_2012", "data=synthetic", "model.width=0.05"])
    network = runner.build.model(cfg)
    optimizer = runner.build.optimizer(cfg, network)
    # On pixels from 0 to 255 the first layer has a 255th of the weights, and 255 times the gradient, of those to 1.
    scales = {"features.0.weight": 255, "features.4.weight": 1, "classifier.6.weight": 1}
    weights = {name: network.get_parameter(name) for name in scales}
    w = {name: weights[name].detach().double().numpy() / scale for name, scale in scales.items()}
    v = dict.fromkeys(scales, 0)
    for step in range(1, 4):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3 * step)
        optimizer.step()
        for name, scale in scales.items():
            v[name] = 0.9 * v[name] - 0.0005 * 0.01 * w[name] - 0.01 * 1e-3 * step * scale
            w[name] = w[name] + v[name]
            np.testing.assert_allclose(weights[name].detach().numpy() / scale, w[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", RECIPES)
def test_trains_small_on_embedded_data(train, name):
    _, small = RECIPES[name]
    run = train(f"experiment={name}", *SMALL, *small, "engine.epochs=1", "log.tensorboard=false")
    assert run.status == "finished"
    assert run.metrics[0]["step"] == 2


TODAYS = {  # beside airbench94: with what makes each network small
    "cifar10_cpu": ["model.channels=[4,8]", "average.start_epochs=0"],
    "cifar10_cpu_hour": ["model.channels=[4,8]", "average.start_epochs=0"],
    "cifar10_resnet": ["model.width=4"],
    "cifar10_vit": ["model.width=12", "model.depth=1"],
    "cifar10_convnext": ["model.channels=[4,6]", "model.depths=[1,1]"],
}


@pytest.mark.parametrize("name", TODAYS)
def test_todays_recipes_train_small_on_embedded_data(train, name):
    run = train(f"experiment={name}", *SMALL, *TODAYS[name], "engine.epochs=1", "log.tensorboard=false")
    assert run.status == "finished"
    assert run.metrics[0]["step"] == 2


def test_cifar10_cpu_is_airbench94_in_proportion_to_its_batch():
    cpu, gpu = (runner.compose([f"experiment={name}"]) for name in ("cifar10_cpu", "airbench94"))
    assert cpu.optimizer.lr / gpu.optimizer.lr == cpu.data.batch_size / gpu.data.batch_size
    assert cpu.optimizer.weight_decay == gpu.optimizer.weight_decay
    assert [group.weight_decay for group in cpu.optimizer.param_groups] == [
        group.weight_decay for group in gpu.optimizer.param_groups
    ]


@pytest.mark.parametrize("words", [["data=cifar10"], ["data=folder", "data.root=here"]])
def test_airbench94_takes_cifar10_or_a_folder_of_it(words):
    cfg = runner.compose(["experiment=airbench94", *words])
    config.check(cfg)
    kept = 50_000 - round(50_000 * cfg.data.val_fraction)
    assert kept // cfg.data.batch_size == 50_000 // 1024
