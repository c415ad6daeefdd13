"""The recipes of their day: their settings, and that they train at a small size on embedded data."""

from __future__ import annotations

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
            "model.era": 2012,
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
            "schedule._target_": "runner.schedule.Every",
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
            "init._target_": "runner.model.init.He",
            "views._target_": "runner.views.TenCrop",
        },
        ["model.depth=20", "model.width=4"],
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_has_the_settings_of_its_day(name):
    cfg = runner.compose([f"experiment={name}", "data.root=here"])
    config.check(cfg)
    leaves = config.flat(cfg)
    expected, _ = RECIPES[name]
    assert {key: leaves[key] for key in expected} == expected
    assert "scale_crop" in cfg.augment
    assert "flip" in cfg.augment
    assert ("pca_color" in cfg.augment) == (name in ("alexnet_2012", "vgg_2014"))
    assert "dropout" not in cfg.reg


@pytest.mark.parametrize("name", RECIPES)
def test_trains_small_on_embedded_data(train, name):
    _, small = RECIPES[name]
    run = train(f"experiment={name}", *SMALL, *small, "engine.epochs=1", "log.tensorboard=false")
    assert run.status == "finished"
    assert run.metrics[0]["step"] == 2
