"""The loop: when it ends, what it records, and that a run repeats itself."""

import math

import pytest
import torch

import runner
import runner.training.resume
from runner.engine.loop import _judge
from runner.engine.settings import Settings
from runner.engine.state import Trial
from runner.objective import Objective
from runner.store import RunFolder, make_folder
from runner.training.train import Member, train_member

QUICK = ["data.batch_size=64", "model=mlp", "model.hidden=[32]"]


def without_speed(run):
    return [{k: v for k, v in record.items() if k != "images_per_second"} for record in run.metrics]


def weights(run):
    return torch.load(run.folder / "checkpoints/last.pt", weights_only=True)["state"]["network"]


def test_one_seed_gives_the_same_run_twice_and_another_seed_another(train):
    words = ["reg=dropout", "augment=crop", "augment.crop.padding=1", "engine.epochs=2", "engine.deterministic=true"]
    one, two, other = train(*words), train(*words), train(*words, "seed=1")
    assert without_speed(one) == without_speed(two)
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(two).values(), strict=True))
    assert without_speed(one) != without_speed(other)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_run(train, num_workers):
    words = [*QUICK, "augment=[crop,flip]", "augment.crop.padding=1", "engine.epochs=2", "engine.deterministic=true"]
    resident = train(*words, "data.loading=in_memory")
    workers = train(*words, "data.loading=workers", f"data.num_workers={num_workers}")
    assert without_speed(resident) == without_speed(workers)


def test_records_have_the_names_of_the_contract(train):
    (record,) = train(*QUICK, "engine.epochs=1").metrics
    assert list(record) == [
        "epoch",
        "step",
        "lr",
        "train/loss",
        "train/accuracy",
        "val/loss",
        "val/accuracy",
        "images_per_second",
    ]
    assert record["step"] == math.ceil(1199 / 64)


def test_training_metrics_are_exact_over_the_epoch():
    # With a vanishing rate the network stays as it was, so the epoch's mean is that of one network.
    training = runner.build.training(
        runner.compose([*QUICK, "optimizer=sgd", "optimizer.lr=1e-30", "data.batch_size=50"])
    )
    state = training.state
    for images, labels in training.train.epoch():
        losses, correct = training.step(state, (images, labels))
        state.sums.add(losses, correct, len(labels))
    images, labels = (torch.cat(parts) for parts in zip(*training.train.epoch(), strict=True))
    scores = state.network(images)
    exact = torch.nn.functional.cross_entropy(scores.double(), labels).item()
    assert state.sums.num_images == len(labels) == 1199
    assert state.sums.loss_sum.item() / 1199 == pytest.approx(exact, rel=1e-6)
    assert state.sums.num_correct.item() == (scores.argmax(1) == labels).sum().item()


@pytest.mark.parametrize("eval_batch_size", [512, 100, 7, 299])
def test_validation_metrics_do_not_depend_on_the_batch_size(eval_batch_size):
    cfg = runner.compose([*QUICK, f"data.eval_batch_size={eval_batch_size}"])
    training = runner.build.training(cfg)
    (scores,) = training.evaluate(training.state)
    images, labels = (torch.cat(parts) for parts in zip(*training.evaluate.batches.epoch(), strict=True))
    assert len(labels) == 299
    outputs = training.state.network(images)
    assert scores["val/loss"] == pytest.approx(torch.nn.functional.cross_entropy(outputs, labels).item(), rel=1e-5)
    assert scores["val/accuracy"] == pytest.approx((outputs.argmax(1) == labels).double().mean().item())
    assert training.state.network.training


def test_max_steps_ends_in_the_middle_of_an_epoch_with_a_result(train):
    run = train(*QUICK, "engine.max_steps=25")
    assert [record["step"] for record in run.metrics] == [19, 25]
    assert "val/accuracy" in run.metrics[-1]
    assert run.status == "finished"


def test_limit_batches_shortens_training_and_validation(train):
    run = train(*QUICK, "engine.limit_batches=3", "engine.epochs=2", "data.eval_batch_size=10")
    assert [record["step"] for record in run.metrics] == [3, 6]
    assert (run.metrics[0]["val/accuracy"] * 30) % 1 == pytest.approx(0, abs=1e-9)


def test_evaluation_every_n_epochs_and_always_at_the_end(train):
    run = train(*QUICK, "engine.epochs=5", "engine.eval_every_epochs=2")
    assert [record["epoch"] for record in run.metrics if "val/loss" in record] == [2, 4, 5]


def test_patience_ends_a_run_that_no_longer_improves(train):
    run = train(*QUICK, "engine.epochs=30", "engine.patience=2", "optimizer=sgd", "optimizer.lr=1e-9")
    assert len(run.metrics) == 3
    assert run.status == "finished"
    assert run.record["error"] == "no better val/accuracy for 2 epochs"


def test_the_objective_may_be_minimized(train):
    run = train(*QUICK, "engine.epochs=4", "objective.name=val/loss", "objective.mode=min")
    losses = [record["val/loss"] for record in run.metrics]
    assert run.objective == min(losses)
    assert run.record["objective"]["epoch"] == losses.index(min(losses)) + 1


def test_a_loss_that_is_not_a_number_ends_the_run_as_diverged_at_once(train):
    run = train(*QUICK, "optimizer=sgd", "optimizer.lr=1e30", "log.every_steps=5")
    assert run.status == "diverged"
    assert run.metrics[-1]["step"] <= 10
    assert "the training loss became" in run.record["error"]


def test_an_epoch_above_three_times_the_first_loss_is_divergence(train):
    words = ["model=linear", "optimizer=sgd", "optimizer.lr=100"]
    run = train(*words)
    assert run.status == "diverged"
    assert "above 3 times the initial" in run.record["error"]
    lenient = train(*words, "engine.divergence_factor=1e9", "engine.epochs=2")
    assert lenient.status == "finished"


def test_a_blown_up_loss_ends_the_run_within_the_epoch(train):
    run = train("model=linear", "optimizer=sgd", "optimizer.lr=100", "log.every_steps=12")
    assert run.status == "diverged"
    assert run.metrics[-1]["step"] == 12, "the epoch has 38 steps"


def test_a_paused_run_ends_with_the_weights_of_one_that_went_through(train, tmp_path):
    words = [*QUICK, "engine.epochs=4", "engine.deterministic=true"]
    whole = train(*words)
    cfg = whole.config
    folder = RunFolder.create(make_folder(tmp_path, "paused"), "paused", words, {}, {})
    paused = train_member(Member(cfg, words, folder), runner.build.data(cfg), pause_epoch=2)
    assert (paused.status, len(paused.metrics)) == ("interrupted", 2)
    gone_on = runner.training.resume.resume(paused.folder)
    assert (gone_on.status, without_speed(gone_on)) == ("finished", without_speed(whole))
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(gone_on).values(), strict=True))


def test_the_default_run_is_good(train):
    run = train()
    assert run.status == "finished"
    assert run.objective >= 0.97


def test_accuracy_of_the_best_checkpoint_is_the_recorded_one(train):
    run = train(*QUICK, "engine.epochs=3", "average=ema")
    data = runner.build.data(run.config)
    val = data.source("val")
    predicted = run.model()(val.pixels.float() / 255).argmax(1)
    assert (predicted == val.labels).double().mean().item() == pytest.approx(run.objective)


def test_snapshots_are_kept_when_asked_for(train):
    run = train(*QUICK, "engine.epochs=4", "engine.snapshot_every_epochs=2")
    names = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    assert names == ["best.pt", "epoch-0002.pt", "epoch-0004.pt", "last.pt", "manifest.json"]


def test_of_epochs_of_equal_accuracy_the_one_of_lower_loss_is_the_best():
    objective = Objective("val/accuracy", "max")
    trial, settings = Trial(), Settings(patience=2)
    best = []
    for epoch, (accuracy, loss) in enumerate([(0.5, 0.9), (0.8, 0.5), (0.8, 0.4), (0.8, 0.6), (0.7, 0.1)], 1):
        _judge(trial, {"val/accuracy": accuracy, "val/loss": loss}, epoch, settings, objective)
        best.append(trial.best_epoch)
    assert best == [1, 2, 3, 3, 3]
    assert (trial.best_value, trial.best_loss, trial.status) == (0.8, 0.4, "finished")
