"""Every word that fits trains an epoch on real images: CIFAR-10 as class folders, which RUNNER_CIFAR10 names.

It needs images that are not here, so it runs where the variable is set alone, as in
`RUNNER_CIFAR10=/data/cifar10 scripts/check --slow tests/contract/test_cifar10.py`.
"""

import os

import pytest

import runner
from runner import config
from runner.command.options import options
from tests.contract.test_every_option import NEEDS, TRAINED

ROOT = os.environ.get("RUNNER_CIFAR10")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ROOT is None, reason="RUNNER_CIFAR10 names no folder of CIFAR-10"),
]
IMAGES = ["data=folder", f"data.root={ROOT}", "data.fraction=0.02", "data.image_size=32", "engine.limit_batches=12"]
IMAGES += ["engine.epochs=1", "log.tensorboard=false", "log.figures=false"]
SMALL = {  # what makes a network small, or its images large enough
    "alexnet": ["model.width=0.1"],
    "zfnet": ["model.width=0.1"],
    "vgg": ["model.width=0.1"],
    "inception_v2": ["model.width=0.1"],
    "inception_v3": ["data.image_size=96"],
    "inception_v4": ["data.image_size=96"],
    "inception_resnet_v2": ["data.image_size=96"],
    "vit": ["model.depth=2"],
    "torchvision": ["model.name=mobilenet_v3_small"],
}
MODELS = [option.name for option in options([config.folder()], "model") if option.name != "timm"]
WORDS = [word for word in TRAINED if not word.startswith(("data=", "optimizer=lbfgs", "transfer=", "log="))]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where the decoded images are kept for all of these tests: there are 60,000."""
    return f"data.cache={tmp_path_factory.mktemp('decoded')}"


def check(run):
    assert run.status == "finished"
    assert 0 <= run.metrics[-1]["val/accuracy"] <= 1
    assert run.metrics[-1]["val/loss"] is not None


@pytest.mark.parametrize("word", WORDS)
def test_every_word_trains(train, cache, word):
    check(train(*IMAGES, cache, "model=convnet", "model.channels=[16,32]", word, *(NEEDS.get(word) or [])))


@pytest.mark.parametrize("model", MODELS)
def test_every_network_trains(train, cache, model):
    words = SMALL.get(model, [])
    check(train(*IMAGES, cache, f"model={model}", "data.batch_size=16", "engine.limit_batches=4", *words))


def test_a_network_learns_real_images(train, cache):
    words = ["model=convnet", "engine.limit_batches=null", "data.fraction=0.1", "engine.epochs=3", "augment=flip"]
    run = train(*IMAGES, cache, *words)
    assert run.objective > 0.35  # 0.1 is chance
    assert runner.test(run)["num_images"] == 10_000
