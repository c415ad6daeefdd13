"""Images that grow over the epochs, for networks that pool globally."""

import os
import signal

import pytest
import torch
import torchvision.transforms.v2.functional as reference

import runner
from runner.data.batches import Sizes
from runner.engine.checkpoint_files import read
from runner.engine.step import Step
from runner.errors import Interrupted, UserError
from runner.training.resume import resume

WORDS = ["data=synthetic", "data.num_images=40", "data.num_classes=3", "data.image_size=16", "data.batch_size=8"]
RESNET = [*WORDS, "model=resnet", "model.depth=20", "model.width=2", "engine.deterministic=true"]
GROWING = "data.progressive_sizes=[8,12,16]"


@pytest.mark.parametrize(
    ("num_epochs", "expected"),
    [
        (6, [8, 8, 12, 12, 16, 16]),
        (7, [8, 8, 12, 12, 16, 16, 16]),
        (3, [8, 12, 16]),
        (2, [12, 16]),
        (1, [16]),
    ],
)
def test_each_size_has_an_equal_part_of_the_epochs_and_the_last_one_what_is_left(num_epochs, expected):
    sizes = Sizes([8, 12, 16], num_epochs)
    assert [sizes.of(epoch) for epoch in range(num_epochs)] == expected
    assert sizes.of(num_epochs + 3) == 16


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_training_images_are_scaled_and_validation_has_the_last_size(augment):
    whole = runner.build.training(runner.compose([*RESNET, "engine.epochs=3", f"augment={augment}"])).train
    training = runner.build.training(runner.compose([*RESNET, "engine.epochs=3", GROWING, f"augment={augment}"]))
    for epoch, size in enumerate([8, 12, 16]):
        for (images, labels), (large, same) in zip(training.train.epoch(epoch), whole.epoch(epoch), strict=True):
            assert torch.equal(labels, same)
            expected = reference.resize(large, [size, size], antialias=True)  # after preprocessing, which is linear
            torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4)
    assert next(training.evaluate.batches.epoch())[0].shape[-1] == 16


@pytest.fixture
def stopped(train, monkeypatch):
    """`stopped(step, *words)` trains, is interrupted after that step, and gives the run."""

    def interrupt(step, *words):
        true_step = Step.__call__

        def one(self, state, batch):
            if state.step == step - 1:
                os.kill(os.getpid(), signal.SIGINT)
            return true_step(self, state, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Step, "__call__", one)
            with pytest.raises(Interrupted):
                train(*words, "name=stopped")
        return runner.load(next(train("name=whole", *words).folder.parent.parent.glob("stopped/*")))

    return interrupt


@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.slow), 8, pytest.param(11, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", [GROWING, "data.balance=oversample", "data.balance=weights"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(stopped, step, how):
    run = stopped(step, *RESNET, how, "engine.epochs=3", "augment=flip")
    assert run.status == "interrupted"
    resumed = resume(run.folder)
    (whole,) = map(runner.load, run.folder.parent.parent.glob("whole/*"))
    assert [one["train/loss"] for one in resumed.metrics] == [one["train/loss"] for one in whole.metrics]
    ends = [read(one.folder / "checkpoints/last.pt")["state"]["network"] for one in (whole, resumed)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("model", ["mlp", "linear", "convnet"])
def test_a_network_of_one_size_is_refused(model):
    with pytest.raises(UserError, match=r"^data\.progressive_sizes: the network cannot take images of 8 x 8 where"):
        runner.build.training(runner.compose([*WORDS, GROWING, f"model={model}"]))


@pytest.mark.parametrize("sizes", ["[8,12]", "[8,32,16]"])
def test_sizes_that_do_not_rise_to_that_of_the_images_are_refused(sizes):
    with pytest.raises(
        UserError, match=r"^data\.progressive_sizes: .* must rise to the size of the images, which is 16"
    ):
        runner.build.training(runner.compose([*RESNET, f"data.progressive_sizes={sizes}"]))


def test_vectorized_trials_have_the_size_of_the_epoch():
    cfgs = [runner.compose([*RESNET, GROWING, "engine.epochs=3", f"optimizer.lr={lr}"]) for lr in (0.1, 0.2)]
    training = runner.build.vectorize(cfgs)
    assert next(iter(training.train.epoch(0)))[0].shape[-1] == 8
    batch = next(iter(training.train.epoch(1)))
    losses, _ = training.step(training.state, batch)
    assert losses.isfinite().all()
