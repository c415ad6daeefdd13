"""Runs that are killed, interrupted or damaged, with real processes and real signals."""

from __future__ import annotations

import json
import signal
import time

import pytest
import torch

# A user's augmentation that ends the process, or dawdles, when the file beside it says so.
SABOTEUR = """
import os, pathlib, signal, time
from runner.augment import Augmentation

class Saboteur(Augmentation):
    def __init__(self):
        self.batches = 0

    def draw(self, num_images, generator):
        return {}

    def apply(self, images, draws):
        self.batches += 1
        order = pathlib.Path("kill_at")
        if order.exists() and self.batches == int(order.read_text()):
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if pathlib.Path("dawdle").exists():
            pathlib.Path("training").touch()
            time.sleep(0.05)
        return images
"""

# Everything that has a state: noise, momentum, an average, a schedule, augmentation.
SETTING = [
    "data.batch_size=64",
    "model.channels=[8]",
    "model.hidden=32",
    "optimizer=momentum",
    "reg=dropout",
    "average=ema",
    "augment=crop",
    "augment.crop.padding=1",
    "+augment.saboteur._target_=saboteur.Saboteur",
    "schedule.warmup_epochs=0.5",
    "engine.epochs=3",
    "engine.deterministic=true",
    "engine.checkpoint_every_steps=5",
    "log.every_steps=7",
    "log.num_images=0",
]
STEPS_PER_EPOCH = 19


def train(runner, *words, **options):
    (runner.folder / "saboteur.py").write_text(SABOTEUR)
    return runner("train", *SETTING, *words, **options)


def weights(folder):
    return torch.load(folder / "checkpoints/last.pt", weights_only=True)["state"]


def assert_same_bits(one, other, path=""):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same_bits(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same_bits(left, right, f"{path}/{index}")
    else:
        assert one == other, path


def metrics(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "images_per_second"} for record in records]


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {"scalars": 0})
    events.Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_run_killed_at_several_steps_and_resumed_ends_with_the_same_bits(runner):
    train(runner)
    (whole,) = runner.runs()
    # In the first epoch before any checkpoint, within the second, and just before the end.
    for killed_at in (3, STEPS_PER_EPOCH + 9, 3 * STEPS_PER_EPOCH):
        (runner.folder / "kill_at").write_text(str(killed_at))
        train(runner, status=-signal.SIGKILL)
        folder = runner.runs()[-1]
        assert json.loads((folder / "run.json").read_text())["status"] == "running"
        runner("resume", folder, "--trust")
        assert_same_bits(weights(folder), weights(whole))
        assert metrics(folder) == metrics(whole)
        assert json.loads((folder / "run.json").read_text())["status"] == "finished"
        steps = scalars(folder)
        assert steps["val/accuracy"] == [19, 38, 57], "TensorBoard's curve has a doubled or a missing step"
        assert all(len(set(values)) == len(values) for values in steps.values())


def test_a_killed_run_whose_images_are_read_by_workers_ends_with_the_same_bits(runner):
    words = ["data.route=workers", "data.num_workers=1", "engine.epochs=2", "log.tensorboard=false"]
    train(runner, *words)
    (whole,) = runner.runs()
    (runner.folder / "kill_at").write_text(str(STEPS_PER_EPOCH - 5))
    train(runner, *words, status=-signal.SIGKILL)
    folder = runner.runs()[-1]
    runner("resume", folder, "--trust")
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)


def test_a_run_killed_before_its_first_checkpoint_begins_its_metrics_anew(runner):
    (runner.folder / "kill_at").write_text(str(STEPS_PER_EPOCH + 9))
    words = ["engine.checkpoint_every_steps=0", "engine.checkpoint_every_seconds=1000", "engine.epochs=2"]
    train(runner, *words, "log.tensorboard=false", status=-signal.SIGKILL)
    (folder,) = runner.runs()
    assert not (folder / "checkpoints").exists()
    assert [record["epoch"] for record in metrics(folder)] == [1]
    runner("resume", folder, "--trust")
    assert [record["epoch"] for record in metrics(folder)] == [1, 2]


def test_a_run_killed_again_and_again_gets_through(runner):
    train(runner)
    (whole,) = runner.runs()
    (runner.folder / "kill_at").write_text("12")
    train(runner, status=-signal.SIGKILL)
    folder = runner.runs()[-1]
    for _ in range(2):
        (runner.folder / "kill_at").write_text("12")
        runner("resume", folder, "--trust", status=-signal.SIGKILL)
    runner("resume", folder, "--trust")
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_marks_the_run_interrupted_and_prints_how_to_go_on(runner, number):
    train(runner)
    (whole,) = runner.runs()
    (runner.folder / "dawdle").touch()
    process = runner.start("train", *SETTING)
    while not (runner.folder / "training").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    time.sleep(0.4)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    folder = runner.runs()[-1]
    assert f"runner resume {folder.relative_to(runner.folder)}" in out
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    (runner.folder / "dawdle").unlink()
    runner("resume", folder, "--trust")
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before_and_says_so(runner):
    runner("train", "model=linear", "engine.epochs=3", "engine.deterministic=true")
    (folder,) = runner.runs()
    whole = weights(folder)
    content = bytearray((folder / "checkpoints/last.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "checkpoints/last.pt").write_bytes(content)
    done = runner("resume", folder, "engine.epochs=4")
    assert "last.pt: the checkpoint is damaged" in done.stdout
    assert "previous.pt instead (epoch 2" in done.stdout
    assert [record["epoch"] for record in metrics(folder)] == [1, 2, 3, 4]
    assert weights(folder)["position"]["epoch"] == 4
    assert weights(folder).keys() == whole.keys()
    for name in ("last.pt", "previous.pt", "best.pt"):
        (folder / "checkpoints" / name).write_bytes(b"rubbish")
    done = runner("resume", folder, "engine.epochs=6", status=2)
    assert "no undamaged checkpoint is left" in done.stderr


def test_a_config_that_conflicts_with_the_checkpoint_is_refused_by_key(runner):
    runner("train", "model=linear", "engine.epochs=1")
    (folder,) = runner.runs()
    done = runner("resume", folder, "engine.epochs=2", "data.batch_size=16", status=2)
    assert "data.batch_size: cannot change" in done.stderr
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("batch_size: 32", "batch_size: 16", 1))
    done = runner("resume", folder, "engine.epochs=2", status=2)
    assert "data.batch_size: the checkpoint was made with 32, the config says 16" in done.stderr
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def test_a_stored_config_with_a_foreign_class_needs_trust(runner):
    (runner.folder / "kill_at").write_text("30")
    train(runner, status=-signal.SIGKILL)
    (folder,) = runner.runs()
    done = runner("resume", folder, status=2)
    assert done.stderr.count("\n") == 1
    assert "augment.saboteur._target_: saboteur.Saboteur is not one of runner's own classes" in done.stderr


def test_a_second_process_on_the_same_folder_is_refused(runner):
    (runner.folder / "saboteur.py").write_text(SABOTEUR)
    (runner.folder / "dawdle").touch()
    process = runner.start("train", *SETTING, "engine.epochs=200")
    while not (runner.folder / "training").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    done = runner("resume", runner.runs()[0], "--trust", status=2)
    assert "another process is training in this folder" in done.stderr
    process.kill()
    process.communicate()
