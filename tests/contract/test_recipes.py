"""The recipes of their day: their settings, and that they train at a small size on embedded data."""

import math

import pytest

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
            "reg.l2.strength": 5e-4,
            "model.dropout": 0.5,
            "model.variant": 2012,
        },
        ["model.width=0.05"],
    ),
    "vgg_2014": (
        {
            "optimizer.momentum": 0.9,
            "optimizer.lr": 0.01,
            "data.batch_size": 256,
            "schedule.factor": 0.1,
            "reg.l2.strength": 5e-4,
            "model.dropout": 0.5,
            "model.norm": "none",
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
    assert "scale_crop" in cfg.augment
    assert ("pca_color" in cfg.augment) == (name in ("alexnet_2012", "vgg_2014"))


@pytest.mark.parametrize("name", RECIPES)
def test_trains_small_on_embedded_data(train, name):
    _, small = RECIPES[name]
    run = train(f"experiment={name}", *SMALL, *small, "engine.epochs=1", "log.tensorboard=false")
    assert run.status == "finished"
    assert run.metrics[0]["step"] == 2


@pytest.mark.parametrize("words", [["data=cifar10"], ["data=folder", "data.root=here"]])
def test_airbench94_takes_cifar10_or_a_folder_of_it(words):
    cfg = runner.compose(["experiment=airbench94", *words])
    config.check(cfg)
    kept = 50_000 - round(50_000 * cfg.data.val_fraction)
    assert kept // cfg.data.batch_size == 50_000 // 1024
