"""Every technique on a CUDA device that is emulated: nothing mixes devices, and no step waits for the device."""

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from tests.contract.fake_cuda import fake_cuda
from tests.contract.test_every_option import NEEDS, TRAINED
from tests.contract.test_models import CASES as MODELS
from tests.contract.test_vectorized import CASES as VECTORIZED
from tests.contract.test_vectorized import OPTIONS

SMALL = ["data.image_size=8", "data.batch_size=20", "engine.device=cuda"]
DATA = ["data=synthetic", "data.num_images=60"]
MLP = ["model=mlp", "model.hidden=[16]"]
GROUPS = ("optimizer", "schedule", "loss", "reg", "augment", "average", "tta", "init")
WORDS = [word for word in TRAINED if word.startswith(tuple(f"{group}=" for group in GROUPS))]
EXACT = {"optimizer=lbfgs": ["engine.precision=fp32"]}
# How an update is made: the words of each way.
WAYS = {
    "fp32": ["engine.precision=fp32"],
    "fp16": ["engine.precision=fp16", "optimizer=adamw"],
    "clipped and accumulated": ["engine.clip_grad_norm=1", "engine.accumulate_steps=2"],
    "deterministic": ["engine.deterministic=true"],
    "worker processes": ["data.loading=workers", "data.num_workers=0", "augment=[crop,flip]"],
    "uphill": ["optimizer.sam=0.05"],
    "mixed twice": ["reg=[mixup,cutmix,label_smoothing]"],
}
# Of vectorized trials the gate runs some of each kind. The rest takes minutes.
QUICK_VECTORIZED = (
    "adamw",
    "muon",
    "mixup",
    "label_smoothing",
    "ema",
    "lookahead",
    "randaugment",
    "ten_crop",
    "convnet",
)
LARGE = ("inception_v3", "inception_v4", "inception_resnet_v2")  # of the blocks of inception_v2, but hundreds of them
# Of torch's fake tensors, where something asks for their memory.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")


def slow_unless(is_quick, *values, name):
    return pytest.param(*values, marks=[] if is_quick else [pytest.mark.slow], id=name)


def reads_of(training, device):
    """Where two steps, and the sums of their metrics, wait for the device; then an evaluation is made."""
    state, before = training.state, len(device.reads)
    for batch in training.train.epoch():
        losses, predictions = training.step(state, batch)
        state.sums.add(losses, predictions, batch[1].shape[-1])
        state.step += 1
    state.sums.settle()
    found = device.reads[before:]
    assert losses.device.type == "cuda"
    training.evaluate(state)
    return found


def reads_of_words(words, data=DATA):
    with fake_cuda() as device:
        words = [*data, *SMALL, "engine.limit_batches=2", *words]
        return reads_of(runner.build.training(runner.compose(words)), device)


@pytest.mark.parametrize("case", [slow_unless(case.word not in LARGE, case, name=str(case)) for case in MODELS])
def test_a_network_runs_on_the_device_alone(case):
    keys = [f"model.{key}={str(value).replace(' ', '')}" for key, value in case.small.items()]
    assert not reads_of_words([f"model={case.word}", *keys])


@pytest.mark.parametrize("word", WORDS)
def test_an_option_runs_on_the_device_alone(word):
    network = ["model=convnet", "model.channels=[4]"] if word == "reg=fractional_max_pool" else MLP
    found = reads_of_words([word, *(NEEDS.get(word) or network), *EXACT.get(word, [])])
    assert not found or word == "optimizer=lbfgs"  # whose line search compares losses on the host


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_make_an_update_runs_on_the_device_alone(way):
    assert not reads_of_words([*MLP, *WAYS[way]])


@pytest.mark.parametrize(
    ("group", "option"), [slow_unless(case[1] in QUICK_VECTORIZED, *case, name="-".join(case)) for case in VECTORIZED]
)
def test_vectorized_trials_run_on_the_device_alone(group, option):
    words, _ = OPTIONS[group][option]
    with fake_cuda() as device:
        cfgs = [
            runner.compose([*DATA, *SMALL, "engine.limit_batches=2", f"{group}={option}", *words, f"seed={trial}"])
            for trial in range(2)
        ]
        assert not reads_of(runner.build.vectorize(cfgs), device)


@pytest.mark.parametrize("loading", ["in_memory", "workers"])
@pytest.mark.parametrize("word", ["scale_crop", "random_resized_crop"])
def test_images_are_cut_from_larger_pictures_on_the_device_or_by_workers_alone(tmp_path, word, loading):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(12):
                picture = Image.fromarray(np.full((20, 30 + index, 3), 10 * index, np.uint8))
                picture.save(tmp_path / split / name / f"{index}.png")
    data = ["data=folder", f"data.root={tmp_path}", "data.cache=null", f"data.loading={loading}", "data.num_workers=0"]
    assert not reads_of_words([*MLP, f"augment=[{word},flip]"], data)


def test_a_read_and_a_mixture_of_devices_are_found():
    with fake_cuda() as device:
        on_device = torch.ones(2).to("cuda:0")
        on_device.sum().item()
        assert len(device.reads) == 1
        on_device.cpu()
        assert len(device.reads) == 2
        with pytest.raises(Exception, match="device"):
            on_device + torch.ones(2)
        with pytest.raises(NotImplementedError, match="waits"):
            on_device.nonzero()
