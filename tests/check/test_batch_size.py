"""`data.batch_size=auto`: batches are tried until the memory is used up."""

import pytest
import torch

import runner
from runner.check import batch_size
from runner.errors import UserError


@pytest.fixture
def made():
    return runner.build.training(runner.compose(["model.norm=batch", "data.batch_size=2"]))


def out_of_memory_above(made, num_images):
    sizes = []

    def refuse(module, inputs):
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > num_images:
            raise torch.OutOfMemoryError("CUDA out of memory")

    made.state.network.register_forward_pre_hook(refuse)
    return sizes


@pytest.mark.parametrize(("fitting", "expected"), [(100, 64), (64, 64), (2, 2), (1, 0)])
def test_batches_are_doubled_until_one_does_not_fit(made, fitting, expected):
    sizes = out_of_memory_above(made, fitting)
    assert batch_size.largest_fitting(made) == expected
    assert sizes == [2**power for power in range(1, len(sizes) + 1)]


def test_no_more_are_tried_than_there_are_images(made):
    sizes = out_of_memory_above(made, 1000)
    assert batch_size.largest_fitting(made, most=40) == 32
    assert max(sizes) == 32


def test_a_training_on_the_cpu_is_refused_in_one_line():
    cfg = runner.compose(["data.batch_size=auto", "engine.device=cpu"])
    with pytest.raises(UserError, match=r"^data.batch_size: auto .* runs on the cpu; set a number"):
        batch_size.settled(cfg, runner.build.data(cfg))


def on_a_gpu(monkeypatch, fits):
    """Has `settled` find a training whose device calls itself a GPU, and a memory that takes so many images."""
    build = runner.build.training
    asked = []

    def training(cfg, dataset):
        made = build(cfg, dataset)
        made.state.device = torch.device("cuda")
        asked.append(cfg)
        return made

    def largest_fitting(training, most):
        asked.append(most)
        return min(fits, most)

    monkeypatch.setattr(runner.build, "training", training)
    monkeypatch.setattr(batch_size, "largest_fitting", largest_fitting)
    return asked


def test_the_run_gets_the_size_that_was_found(monkeypatch, capsys):
    asked = on_a_gpu(monkeypatch, 128)
    cfg = runner.compose(["data.batch_size=auto", "optimizer.lr=auto", "engine.accumulate_steps=2"])
    dataset = runner.build.data(cfg)
    found = batch_size.settled(cfg, dataset)
    assert found.data.batch_size == dataset.batch_size == 128
    assert cfg.data.batch_size == found.optimizer.lr == "auto"
    assert asked[1] == 1199 // 2  # images of digits' training split, in two parts
    assert "data.batch_size=128" in capsys.readouterr().err


def test_a_gpu_on_which_nothing_fits_is_told(monkeypatch):
    on_a_gpu(monkeypatch, 0)
    cfg = runner.compose(["data.batch_size=auto"])
    with pytest.raises(UserError, match=r"^data.batch_size: auto .* not even 2 images"):
        batch_size.settled(cfg, runner.build.data(cfg))


def test_auto_is_for_training_alone():
    cfg = runner.compose(["data.batch_size=auto"])
    runner.config.check(cfg, auto=True)
    for refused in (lambda: runner.config.check(cfg), lambda: runner.build.training(cfg)):
        with pytest.raises(UserError, match=r"^data.batch_size: auto is found by runner train alone"):
            refused()
