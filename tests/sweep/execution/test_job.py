"""What one job of a sweep shares between its trials, and what it does not."""

import errno
import json
import os
import socket
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import runner
from runner.cli import run as main
from runner.data.loader import InMemoryLoader, WorkerLoader
from runner.errors import DeviceFault, ImagesChanged, OutOfMemory
from runner.store import SweepFolder, make_folder
from runner.sweep.execution import job
from runner.sweep.record.trial import TrialRecord

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


@pytest.fixture
def sweep_with_room_for(tmp_path, monkeypatch):
    """`sweep_with_room_for(3)`: a sweep of 8 trials, together on a device that has room for 3: what was tried."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "_latest", [])
    train = job.train_vectorized

    def run(room):
        tried = []

        def limited(members, *others):
            tried.append([int(member.folder.path.name) for member in members])
            if len(members) > room:
                raise OutOfMemory("data.batch_size=64: out of GPU memory")
            return train(members, *others)

        monkeypatch.setattr(job, "train_vectorized", limited)
        monkeypatch.setattr(job, "let_go_of_memory", lambda: tried.append("let go"))
        words = ["model=linear", "data=synthetic", "data.num_images=80", "optimizer.lr=loguniform(1e-3,1e-1)"]
        words += ["sweep.rounds=[{trials: 8, epochs: 1}]", "sweep.num_finalists=0", "sweep.vectorize=8"]
        folder = runner.sweep(words, log={"progress": "none", "tensorboard": False}).folder
        records = [json.loads(path.read_text()) for path in sorted(folder.glob("trials/*/run.json"))]
        assert [record["status"] for record in records] == ["finished"] * 8
        (decision,) = json.loads((folder / "vectorize.json").read_text())["decisions"].values()
        return tried, decision

    return run


def test_trials_that_do_not_fit_into_the_memory_train_in_halves_and_later_ones_too(sweep_with_room_for):
    tried, decision = sweep_with_room_for(3)
    first = [[0, 1, 2, 3, 4, 5, 6, 7], "let go", [0, 1, 2, 3], "let go", [0, 1], [2, 3]]
    assert tried == [*first, [4, 5, 6, 7], "let go", [4, 5], [6, 7]]
    assert decision["together"] == 2
    assert decision["reason"].endswith("more than 4 ran out of memory; more than 2 ran out of memory")


@pytest.mark.slow
def test_trials_of_which_no_two_fit_train_one_by_one(sweep_with_room_for):
    tried, decision = sweep_with_room_for(0)
    assert [len(numbers) for numbers in tried if numbers != "let go"][:4] == [8, 4, 2, 1]
    assert decision["together"] == 0


@pytest.fixture
def sweep_with_faults(tmp_path, monkeypatch):
    """`sweep_with_faults(2)`: a sweep of 3 trials whose GPU stops so many times in trial 1; its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "_latest", [])
    train = job.train_member

    def begin(num_faults):
        left = [None] * num_faults

        def stopping(member, *others):
            if member.folder.path.name == "0001" and left:
                left.pop()
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore lines")
            return train(member, *others)

        monkeypatch.setattr(job, "train_member", stopping)
        words = ["model=linear", "data=synthetic", "data.num_images=80", "optimizer.lr=loguniform(1e-3,1e-1)"]
        words += ["sweep.rounds=[{trials: 3, epochs: 1}]", "sweep.num_finalists=0", "sweep.vectorize=off"]
        words += ["log.progress=none", "log.tensorboard=false", "name=it"]
        with pytest.raises(
            DeviceFault, match=r"stopped in trial 1 \(CUDA error: an illegal memory access was enc"
        ) as told:
            runner.sweep(words)
        assert "\n" not in str(told.value)
        assert told.value.status == 1
        (folder,) = (tmp_path / "outputs/it").iterdir()
        assert f"runner resume outputs/it/{folder.name}" in str(told.value)
        return folder

    return begin


def ends(folder):
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [(event["trial"], event["event"]) for event in events if event["event"] in ("finished", "failed")]


def test_a_sweep_whose_gpu_stops_ends_and_tries_the_trial_once_more_when_it_goes_on(sweep_with_faults):
    folder = sweep_with_faults(1)
    assert ends(folder) == [(0, "finished")]
    assert main(["resume", str(folder)]) in (None, 0)
    assert ends(folder) == [(0, "finished"), (1, "finished"), (2, "finished")]


def test_a_trial_that_stops_the_gpu_twice_has_failed_and_the_others_go_on(sweep_with_faults):
    folder = sweep_with_faults(2)
    with pytest.raises(DeviceFault):
        main(["resume", str(folder)])
    assert ends(folder) == [(0, "finished"), (1, "failed")]
    assert main(["resume", str(folder)]) in (None, 0)
    assert ends(folder) == [(0, "finished"), (1, "failed"), (2, "finished")]


def test_a_worker_whose_gpu_stops_ends_its_process(monkeypatch, capsys):
    record = SimpleNamespace(trial=1, ended=False, num_starts=1)
    journal = SimpleNamespace(refresh=lambda: None, trials={1: record}, append=lambda events: noted.extend(events))
    noted, codes = [], []
    monkeypatch.setattr(job.os, "_exit", codes.append)
    error = torch.AcceleratorError("CUDA error: device-side assert triggered")
    job._leave(error, [record], journal, {"pid": os.getpid() + 1, "host": socket.gethostname()}, None)
    assert codes == [1]
    assert noted == [], "another worker tries it"
    assert "device-side assert" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "ends"), [(ImagesChanged("data: others"), True), (OSError(28, "full"), True), (ValueError("odd"), False)]
)
def test_a_trial_that_cannot_be_read_fails_alone_unless_all_would(monkeypatch, error, ends):
    def refuse(*_):
        raise error

    monkeypatch.setattr(job, "_Trial", refuse)
    journaled = []
    record = SimpleNamespace(event=lambda name, **more: {"event": name, **more})
    readable = job._readable([record, record], None, SimpleNamespace(append=journaled.extend), False, None)
    if ends:
        with pytest.raises(type(error)):
            list(readable)
        assert journaled == []
    else:
        assert list(readable) == []
        assert [event["event"] for event in journaled] == ["failed", "failed"]


def test_the_end_of_a_trial_that_diverged_says_why():
    trial = TrialRecord(3, 0, {"lr": "9"}, None, 2, "trials/0003")
    run = SimpleNamespace(status="diverged", record={"error": "val/loss is NaN"}, objective=None)
    event = job._end(trial, run)
    assert (event["event"], event["trial"], event["error"], event["score"]) == ("diverged", 3, "val/loss is NaN", None)
    paused = SimpleNamespace(status="interrupted", record={"error": None}, objective=0.5)
    assert job._end(trial, paused)["event"] == "waiting"
    assert job._end(trial, paused)["score"] == 0.5


def test_images_are_the_same_ones_wherever_they_are_and_may_not_change(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_checked", set())
    folder = SweepFolder.create(make_folder(tmp_path, "it"), "it", [], 0, {})

    def check(fingerprint, accept=False, **identity):
        dataset = SimpleNamespace(identity={"kind": "folder", **identity}, fingerprint={"train": fingerprint})
        job._check_images(folder, dataset, accept)

    check("aaaa", root="here", cache="ram", size=8)
    check("bbbb", root="here", cache="ram", size=9)  # another data set
    check("aaaa", root="there", cache="disk", size=8)
    with pytest.raises(ImagesChanged):
        check("cccc", root="there", cache="disk", size=8)
    check("cccc", accept=True, root="there", cache="disk", size=8)
    folder.unlock()


def test_why_a_trial_failed_before_it_could_train_is_in_its_record(tmp_path, monkeypatch):
    noted = {}
    folder = SimpleNamespace(record={"status": "running"}, update=lambda **fields: noted.update(fields), unlock=int)
    trial = SimpleNamespace(open=lambda until: SimpleNamespace(cfg=None, folder=folder))
    monkeypatch.setattr(job, "_data", lambda cfg: 1 / 0)
    assert isinstance(job._run_alone(trial, None), ZeroDivisionError)
    assert (noted["status"], noted["error"]) == ("failed", "division by zero")
    assert noted["finished"]


def test_a_job_gives_the_score_of_its_last_trial_and_journals_each():
    trials = [SimpleNamespace(record=TrialRecord(number, 0, {}, None, 1, "")) for number in range(2)]
    runs = [SimpleNamespace(status="finished", record={"error": None}, objective=score) for score in (0.5, 0.25)]
    group = SimpleNamespace(trials=trials, run=lambda until: ([pair] for pair in zip(trials, runs, strict=True)))
    journaled = []
    assert job._run_group(group, None, SimpleNamespace(append=journaled.extend)) == 0.25
    assert [(event["event"], event["trial"], event["score"]) for event in journaled] == [
        ("finished", 0, 0.5),
        ("finished", 1, 0.25),
    ]
    assert all(event["seconds"] >= 0 for event in journaled)


@pytest.mark.parametrize(("number", "ends_the_job"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_full_disk_ends_the_job_and_another_error_of_a_file_its_trial(number, ends_the_job):
    trial = SimpleNamespace(record=TrialRecord(0, 0, {}, None, 1, ""))
    error = OSError(number, os.strerror(number))
    group = SimpleNamespace(trials=[trial], run=lambda until: iter([[(trial, error)]]))
    journaled = []
    with pytest.raises(OSError, match="No space left") if ends_the_job else nullcontext():
        job._run_group(group, None, SimpleNamespace(append=journaled.extend))
    assert [event["event"] for event in journaled] == ([] if ends_the_job else ["failed"])


def test_trials_that_stand_at_one_step_train_together(tmp_path, monkeypatch):
    steps = {0: None, 1: (1, 0), 2: None, 3: (1, 0), 4: (2, 5)}
    trials = [
        SimpleNamespace(record=SimpleNamespace(round=0, signature="a"), cfg=number, path=tmp_path / str(number))
        for number in steps
    ]
    monkeypatch.setattr(job, "position", lambda path: steps[int(path.parent.name)])
    monkeypatch.setattr(job, "_data", lambda cfg: None)
    monkeypatch.setattr(job, "decide", lambda *_: job.Decision(8, "it pays"))
    monkeypatch.setattr(job, "most_together", lambda cfg, folder: 8)
    journal = SimpleNamespace(num_alike={(0, "a"): 5})
    groups = list(job._groups(trials, SimpleNamespace(vectorize="auto"), journal, None))
    assert [[trial.cfg for trial in group.trials] for group in groups] == [[0, 2], [1, 3], [4]]
    assert {(group.vectorized, group.reason) for group in groups} == {(True, "it pays")}
