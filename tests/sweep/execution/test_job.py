"""What one job of a sweep shares between its trials, and what it does not."""

import pytest
import torch
from PIL import Image

import runner
from runner.data.loader import InMemoryLoader, WorkerLoader
from runner.sweep.execution import job

CPU = torch.device("cpu")


@pytest.fixture
def data_of(tmp_path, monkeypatch):
    """`data_of("data.batch_size=3")`: the data set of a trial on a folder of images, after those asked for before."""
    monkeypatch.setattr(job, "_latest", [])
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for place in range(6):
                Image.new("RGB", (8, 8), (40 * place, 100 * number, 7)).save(folder / f"{place}.png")

    def make(*words):
        cfg = runner.compose(["data=folder", f"data.root={tmp_path}/images", "data.val_fraction=0.5", *words])
        return job._data(cfg)

    return make


def loader_of(dataset):
    cfg = runner.compose([])
    settings = runner.build.instantiate(cfg.engine, "engine")
    preprocess = runner.data.preprocess.blank(dataset.image_shape, "none")
    return runner.build.batches(dataset, "train", preprocess, CPU, settings, seed=0).loader


def test_each_trial_loads_images_as_its_own_config_says(data_of):
    assert isinstance(loader_of(data_of("data.loading=in_memory")), InMemoryLoader)
    assert isinstance(loader_of(data_of("data.loading=workers", "data.num_workers=0")), WorkerLoader)
    assert isinstance(loader_of(data_of("data.in_memory_limit_mib=0", "data.num_workers=0")), WorkerLoader)
    assert isinstance(loader_of(data_of()), InMemoryLoader)


def test_what_one_trial_has_read_the_next_one_shares(data_of):
    first = data_of("data.loading=in_memory", "data.batch_size=2")
    pixels = first.loaded("train", CPU).pixels
    second = data_of("data.loading=in_memory", "data.batch_size=3", "data.preprocess=none")
    assert second.loaded("train", CPU).pixels is pixels
    assert (second.batch_size, second.preprocess) == (3, "none")
    assert (first.batch_size, first.preprocess) == (2, "standardize")


def test_other_images_are_read_anew(data_of):
    first = data_of("data.loading=in_memory")
    other = data_of("data.loading=in_memory", "data.split_seed=1")
    assert other.loaded("train", CPU).pixels is not first.loaded("train", CPU).pixels
