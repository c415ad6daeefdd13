"""Every option of every group composes, checks, builds and trains with the default config."""

from pathlib import Path

import pytest
import yaml

import runner
from runner import config
from runner.command.options import options
from runner.config_folders import group_descriptions

# What an option needs beside its word: data that must be on disk, a setting it cannot do without.
# Those of the group transfer need trained weights: see tests/training/test_transfer.py.
NEEDS = {
    "average=snapshots": ["schedule=warm_restarts"],
    "data=folder": None,
    "data=table": None,
    "data=files": None,
    "data=arrays": None,
    "data=torchvision": None,
    "data=huggingface": None,
    "data=cifar10": None,
    "data=cifar100": None,
    "data=mnist": None,
    "data=fashion_mnist": None,
    "loss=distillation": None,  # a teacher: see tests/training/test_distillation.py
    **{f"transfer={word}": None for word in ("head", "last_blocks", "all", "gradual", "features", "auto")},
    "optimizer=lbfgs": ["data.batch_size=2000", "model=linear"],
    "reg=stochastic_depth": ["model=resnet", "model.depth=20", "model.width=4"],
}
# Keys that have no default.
REQUIRED = {
    "loss=distillation": ["loss.teacher=nowhere"],
    "data=folder": ["data.root=nowhere"],
    "data=table": ["data.file=nowhere"],
    "data=files": ["data.root=nowhere", "data.label_regex='(.)'"],
    "data=arrays": ["data.file=nowhere"],
    "data=torchvision": ["data.name=Food101"],
    "data=huggingface": ["data.name=nowhere"],
    **{
        f"experiment={name}": ["data.root=nowhere"]
        for name in ("alexnet_2012", "vgg_2014", "googlenet_2014", "resnet_2015", "finetune")
    },
}
GROUPS = [group for group, _ in group_descriptions([config.folder()])]
OPTIONS = [f"{group}={option.name}" for group in GROUPS for option in options([config.folder()], group)]
# Networks have a test of their own; experiments choose data that is not here.
TRAINED = [
    word
    for word in OPTIONS
    if not word.startswith(("model=", "experiment=", "sweep=")) and NEEDS.get(word, []) is not None
]


def composed(word, *words):
    command = "sweep" if word.startswith("sweep=") else "train"
    return runner.compose([word, *(NEEDS.get(word) or []), *words], command)


@pytest.mark.parametrize("word", [word for word in OPTIONS if word not in TRAINED])
def test_composes(word):
    cfg = composed(word, *REQUIRED.get(word, []))
    check = config.check_sweep if word.startswith("sweep=") else config.check
    check(cfg)


@pytest.mark.parametrize("word", TRAINED)
def test_trains_two_steps(word):
    cfg = composed(word, "engine.limit_batches=2")
    config.check(cfg)
    training = runner.build.training(cfg)
    losses = [training.step(training.state, batch)[0] for batch in training.train.epoch()]
    assert all(loss.isfinite().all() for loss in losses)
    assert training.state.schedule.num_steps == training.train.num_batches
    (scores,) = training.evaluate(training.state)
    assert 0 <= scores["val/accuracy"] <= 1


@pytest.mark.parametrize(
    "path", sorted(config.folder().glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_yaml_opens_with_what_it_is(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert lines[0].endswith((".", ":"))
    assert yaml.safe_load(path.read_text()) is not None


@pytest.mark.parametrize("group", GROUPS)
def test_what_an_option_is_said_to_be_is_what_its_file_opens_with(group):
    for option in options([config.folder()], group):
        assert option.description.endswith((".", ":"))
        assert f"# {option.description}\n" in (Path(config.folder()) / group / f"{option.name}.yaml").read_text()


def test_no_group_is_without_a_line_in_the_defaults():
    folders = {path.name for path in Path(config.folder()).iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert folders - {"hydra"} == set(GROUPS)
