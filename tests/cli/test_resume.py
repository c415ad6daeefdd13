"""Runs that are killed, interrupted or damaged, with real processes and real signals."""

import json
import signal
import time

import psutil
import pytest
import torch

from runner.store import RunFolder

# A user's augmentation that sends its process a signal at the batch that the file beside it names.
SABOTEUR = """
import os, pathlib
from runner.augment import Augmentation

class Saboteur(Augmentation):
    def __init__(self):
        self.batches = 0

    def draw(self, num_images, generator):
        return {}

    def apply(self, images, draws):
        self.batches += 1
        order = pathlib.Path("signal_at")
        if order.exists():
            batch, number = map(int, order.read_text().split())
            if self.batches == batch:
                order.unlink()
                os.kill(os.getpid(), number)
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


def train(command, *words, **options):
    (command.folder / "saboteur.py").write_text(SABOTEUR)
    return command("train", *SETTING, *words, **options)


def killed(process, batch, *words, number=signal.SIGKILL, status=-signal.SIGKILL):
    """The folder of a run that is sent a signal at a batch, and what it printed."""
    (process.folder / "signal_at").write_text(f"{batch} {int(number)}")
    done = train(process, *words, status=status)
    return process.runs()[-1], done


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


# In the first epoch before any checkpoint, within the second, and just before the end.
@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(3, marks=pytest.mark.slow),
        STEPS_PER_EPOCH + 9,
        pytest.param(3 * STEPS_PER_EPOCH, marks=pytest.mark.slow),
    ],
)
def test_a_killed_and_resumed_run_ends_with_the_same_bits(runner, process, batch):
    train(runner)
    (whole,) = runner.runs()
    folder, _ = killed(process, batch)
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    process("resume", folder, "--trust")  # within one second, event files are ordered by process number
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    steps = scalars(folder)
    assert steps["accuracy/val"] == [19, 38, 57], "TensorBoard's curve has a doubled or a missing step"
    assert all(len(set(values)) == len(values) for values in steps.values())


@pytest.mark.slow
def test_a_killed_run_whose_images_are_read_by_workers_ends_with_the_same_bits(process):
    words = ["data.loading=workers", "data.num_workers=1", "engine.epochs=2", "log.tensorboard=false"]
    train(process, *words)
    (whole,) = process.runs()
    folder, _ = killed(process, STEPS_PER_EPOCH - 5, *words)
    process("resume", folder, "--trust")
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_its_metrics_anew(runner, process):
    words = ["engine.checkpoint_every_steps=0", "engine.checkpoint_every_seconds=1000", "engine.epochs=2"]
    folder, _ = killed(process, STEPS_PER_EPOCH + 9, *words, "log.tensorboard=false")
    assert not (folder / "checkpoints").exists()
    assert [record["epoch"] for record in metrics(folder)] == [1]
    runner("resume", folder, "--trust")
    assert [record["epoch"] for record in metrics(folder)] == [1, 2]


@pytest.mark.slow
def test_a_run_killed_again_and_again_gets_through(runner, process):
    train(runner)
    (whole,) = runner.runs()
    folder, _ = killed(process, 12)
    for _ in range(2):
        (process.folder / "signal_at").write_text(f"12 {int(signal.SIGKILL)}")
        process("resume", folder, "--trust", status=-signal.SIGKILL)
    runner("resume", folder, "--trust")
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_saves_marks_the_run_interrupted_and_prints_how_to_go_on(runner, process, number):
    train(runner)
    (whole,) = runner.runs()
    folder, done = killed(process, STEPS_PER_EPOCH + 4, number=number, status=128 + number)
    assert f"runner resume {folder.relative_to(runner.folder)}" in done.stdout
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    runner("resume", folder, "--trust")
    assert_same_bits(weights(folder), weights(whole))
    assert metrics(folder) == metrics(whole)


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before_and_says_so(runner):
    runner("train", "model=linear", "engine.epochs=3", "engine.deterministic=true", "engine.keep=all")
    (folder,) = runner.runs()
    whole = weights(folder)
    content = bytearray((folder / "checkpoints/last.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "checkpoints/last.pt").write_bytes(content)
    done = runner("resume", folder, "engine.epochs=4")
    assert "last.pt: the checkpoint is damaged" in done.stderr
    assert "went on from" in done.stderr
    assert "checkpoints/best.pt (epoch 3" in done.stderr, "the newest that is whole"
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
    train(runner, "engine.epochs=1")
    (folder,) = runner.runs()
    done = runner("resume", folder, "engine.epochs=2", status=2)
    assert done.stderr.count("\n") == 1
    assert "augment.saboteur._target_: saboteur.Saboteur is not one of runner's own classes" in done.stderr


def test_a_second_process_on_the_same_folder_is_refused(runner, process):
    runner("train", "model=linear", "engine.epochs=1")
    (path,) = runner.runs()
    folder = RunFolder.open(path)
    folder.lock()
    done = process("resume", path, "engine.epochs=2", status=2)
    assert "another process is training in this folder" in done.stderr
    folder.unlock()


def test_a_run_of_an_earlier_version_is_refused_in_one_line(runner):
    runner("train", "model=linear", "engine.epochs=1")
    (path,) = runner.runs()
    record = json.loads((path / "run.json").read_text())
    assert record.pop("format") == 2
    (path / "run.json").write_text(json.dumps(record))
    for command in ("resume", "test"):
        done = runner(command, path, status=2)
        assert done.stderr.count("\n") == 1
        assert "run.json: of format 1, this version reads 2" in done.stderr
    assert "1 run in 1 row" in runner("compare", "outputs").stdout


@pytest.mark.slow
def test_the_processes_that_read_images_end_with_the_training(process, tmp_path):
    words = ["data.loading=workers", "data.num_workers=2", "model=linear", "engine.epochs=100000"]
    running = process.start("train", *words, "log.tensorboard=false")
    metrics = []
    while not metrics:
        time.sleep(0.1)
        metrics = list(tmp_path.glob("outputs/*/*/metrics.jsonl"))
    children = psutil.Process(running.pid).children(recursive=True)
    assert len(children) >= 2
    running.kill()
    running.communicate()
    _, alive = psutil.wait_procs(
        children, timeout=2.5
    )  # torch's own workers look after their parent every five seconds
    assert not alive
