"""What one job of a sweep shares between its trials, and what it does not."""

import errno
import json
import os
import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import runner
from runner.cli import run as main
from runner.data.loader import InMemoryLoader, WorkerLoader
from runner.errors import DeviceFault, ImagesChanged, OutOfMemory, UserError
from runner.store import RunFolder, SweepFolder, make_folder, write_config
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


# ---------------------------------------------------------------------------------------------------------------------
# A trial in its folder


@pytest.fixture
def trial_of(tmp_path, monkeypatch):
    """`trial_of(kind="finals", keep_checkpoints="all")`: trial 2 of a sweep, whose config lies in its folder."""
    monkeypatch.setattr(job, "_latest", [])
    words = ["model=linear", "engine.epochs=1", "engine.limit_batches=2", "log.progress=none", "log.tensorboard=false"]
    folder = SweepFolder.create(make_folder(tmp_path, "it"), "it", [], 0, {})
    folder.record["objective"] = {"name": "val/accuracy", "mode": "max"}

    def make(kind="search", extremes=(), **settings):
        folder.record["rounds"] = [{"kind": "search"}, {"kind": kind}]
        record = TrialRecord(2, 1, {}, None, 1, "trials/0002", choices={"model": "linear"})
        path = folder.trial(2)
        path.mkdir(parents=True, exist_ok=True)
        write_config(path, runner.compose(words), words)
        settings = SimpleNamespace(**{"keep_checkpoints": "best", "tensorboard": "summary"} | settings)
        others = {1: [TrialRecord(number, 1, {}, None, 1, "", score=score) for number, score in extremes]}
        journal = SimpleNamespace(refresh=lambda: None, extremes=others)
        return job._Trial(folder, record, False, settings, journal)

    make.words = words
    yield make
    folder.unlock()


def test_a_trial_is_opened_as_a_run_of_its_sweep_and_round(trial_of, monkeypatch):
    trial = trial_of()
    member = trial.open(None)
    assert (member.is_trial, member.accept_changed_images, member.tensorboard) == (True, False, "summary")
    assert list(member.overrides) == trial_of.words
    record = member.folder.record
    assert (record["name"], record["choices"]) == ("it", {"model": "linear"})
    assert record["round"] == {"index": 1, "kind": "search"}
    assert record["overrides"] == trial_of.words
    member.folder.update(status="interrupted", error="earlier")
    member.folder.unlock()
    again = trial.open(None)
    assert again.folder.record["error"] == "earlier", "the run that is there goes on"
    monkeypatch.setattr(job, "LOCK_SECONDS", 0.0)
    with pytest.raises(UserError):
        trial.open(None)
    again.folder.unlock()


@pytest.mark.parametrize(
    ("kind", "keep", "until", "asks"),
    [
        ("search", "best", None, True),
        ("search", "none", None, True),
        ("search", "all", None, False),
        ("search", "best", 3, False),
        ("finals", "best", None, False),
    ],
)
def test_whether_to_keep_checkpoints_is_asked_at_the_end_of_trials_that_search(trial_of, kind, keep, until, asks):
    member = trial_of(kind, keep_checkpoints=keep).open(until)
    assert (member.wanted is not None) is asks
    member.folder.unlock()


@pytest.mark.parametrize(
    ("score", "extremes", "keep", "wanted"),
    [
        (0.5, [], "best", True),
        (0.5, [(0, 0.4), (1, 0.3)], "best", True),
        (0.5, [(0, 0.4), (1, 0.6)], "best", False),
        (0.5, [(0, 0.5)], "best", False),  # of equal ones the first
        (0.5, [(3, 0.5)], "best", True),
        (0.5, [(0, None)], "best", True),
        (None, [], "best", False),
        (0.5, [], "none", False),
    ],
)
def test_checkpoints_of_the_best_so_far_are_kept(trial_of, score, extremes, keep, wanted):
    assert trial_of(extremes=extremes, keep_checkpoints=keep)._may_be_best(score) is wanted


def test_a_trial_by_itself_gives_its_run_and_lets_its_folder_go(trial_of):
    run = job._run_alone(trial_of(), None)
    assert run.status == "finished"
    opened = RunFolder.open(run.folder)
    opened.lock()
    opened.unlock()


def test_an_error_before_and_in_a_training_is_what_the_trial_gives(trial_of, monkeypatch):
    monkeypatch.setattr(job, "train_member", lambda *_: 1 / 0)
    trial = trial_of()
    assert isinstance(job._run_alone(trial, None), ZeroDivisionError)
    trial.open(None).folder.unlock()
    monkeypatch.setattr(trial, "open", lambda until: 1 / 0)
    assert isinstance(job._run_alone(trial, None), ZeroDivisionError)


def test_what_failed_and_was_written_down_stays_as_it_is(monkeypatch):
    noted = []
    folder = SimpleNamespace(record={"status": "failed"}, update=lambda **fields: noted.append(fields), unlock=int)
    trial = SimpleNamespace(open=lambda until: SimpleNamespace(cfg=None, folder=folder))
    monkeypatch.setattr(job, "_data", lambda cfg: 1 / 0)
    assert isinstance(job._run_alone(trial, None), ZeroDivisionError)
    assert noted == []


# ---------------------------------------------------------------------------------------------------------------------
# Trials together


def trials_of(*numbers):
    return [
        SimpleNamespace(record=SimpleNamespace(trial=n, round=0, signature="a"), cfg=n, folder="it") for n in numbers
    ]


@pytest.fixture
def together(monkeypatch):
    """`together(error)`: 3 trials whose training together raises that; `together.unlocked` says what followed."""
    unlocked = []

    def make(error, failing_at=None):
        def train(members, *_):
            raise error

        def open_(number):
            if number == failing_at:
                raise error
            return SimpleNamespace(folder=SimpleNamespace(unlock=lambda: unlocked.append(number)))

        trials = trials_of(0, 1, 2)
        for trial in trials:
            trial.open = lambda until, number=trial.cfg: open_(number)
        monkeypatch.setattr(job, "train_vectorized", train)
        monkeypatch.setattr(job, "_run_alone", lambda trial, until: f"run {trial.cfg} until {until}")
        monkeypatch.setattr(job, "_data", lambda cfg: None)
        monkeypatch.setattr(job, "let_go_of_memory", lambda: unlocked.append("let go"))
        return job._Group(trials, True, "it pays")

    make.unlocked = unlocked
    return make


@pytest.mark.parametrize(("failing_at", "opened"), [(None, [0, 1, 2]), (1, [0])])
def test_trials_that_cannot_train_together_do_so_one_by_one(together, failing_at, opened):
    group = together(ValueError("odd"), failing_at)
    assert [(trial.cfg, run) for ((trial, run),) in group.run(5)] == [(n, f"run {n} until 5") for n in range(3)]
    assert group.reason == "vectorized training failed: odd"
    assert together.unlocked == [*opened, "let go"]


def test_a_gpu_that_stops_ends_the_group(together):
    with pytest.raises(torch.AcceleratorError):
        list(together(torch.AcceleratorError("CUDA error")).run(None))
    assert together.unlocked == []


def test_one_trial_that_does_not_fit_is_not_halved(together):
    group = together(OutOfMemory("data.batch_size=64: out of GPU memory"))
    del group.trials[1:]
    assert [run for ((_, run),) in group.run(None)] == ["run 0 until None"]


@pytest.mark.parametrize(("count", "halves"), [(2, [1, 1]), (3, [2, 1]), (8, [4, 4])])
def test_of_an_odd_number_the_first_half_is_larger(monkeypatch, count, halves):
    allowed, sizes = [], []
    monkeypatch.setattr(job, "allow_fewer", lambda cfg, size, folder: allowed.append((cfg, size, folder)))
    group = job._Group(trials_of(*range(count)), True, "it pays", num_threads=3)

    def run(self, until):
        sizes.append((len(self.trials), self.vectorized, self.reason, self.num_threads))
        yield until

    monkeypatch.setattr(job._Group, "run", run)
    assert list(group._halved(7)) == [7, 7]
    assert allowed == [(0, halves[0], "it")]
    assert sizes == [(size, True, "it pays", 3) for size in halves]


@pytest.fixture
def groups_of(monkeypatch):
    """`groups_of(vectorize, decision, room)`: numbers of trials, whether they train together, and why."""
    asked = []

    def make(vectorize, decision=None, room=(8, 8), count=5):
        def decide(cfgs, asked_for, num_alike, data, folder):
            asked.append((len(cfgs), asked_for, num_alike, data))
            if isinstance(decision, Exception):
                raise decision
            return decision

        trials = trials_of(*range(count))
        monkeypatch.setattr(job, "position", lambda path: None)
        monkeypatch.setattr(job, "_data", lambda cfg: f"data of {cfg}")
        monkeypatch.setattr(job, "decide", decide)
        left = iter(room)  # each time that it is asked for
        monkeypatch.setattr(job, "most_together", lambda cfg, folder: next(left))
        for trial in trials:
            trial.path = Path("trials")
        journal = SimpleNamespace(num_alike={(0, "a"): 9})
        found = job._groups(iter(trials), SimpleNamespace(vectorize=vectorize), journal, None)
        return [
            ([trial.cfg for trial in group.trials], group.vectorized, group.reason, group.num_threads)
            for group in found
        ]

    make.asked = asked
    return make


ALONE = [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("vectorize", ["off", 1])
def test_where_none_train_together_nothing_is_timed(groups_of, vectorize):
    assert groups_of(vectorize) == [(numbers, False, "sweep.vectorize is off", 0) for numbers in ALONE]
    assert groups_of.asked == []


def test_trials_train_together_as_was_decided_for_all_of_their_round(groups_of):
    found = groups_of("auto", job.Decision(3, "it pays", 2), room=[3, 3, 3])
    assert found == [([0, 1, 2], True, "it pays", 2), ([3, 4], True, "it pays", 2)]
    assert groups_of.asked == [(5, "auto", 9, "data of 0")]


def test_trials_that_do_not_pay_together_train_one_by_one_and_say_why(groups_of):
    assert groups_of("auto", job.Decision(0, "too slow")) == [(numbers, False, "too slow", 0) for numbers in ALONE]
    assert groups_of("auto", job.Decision(8, ""), count=0) == []


def test_a_timing_that_fails_is_the_reason_and_a_gpu_that_stops_the_end(groups_of):
    found = groups_of("auto", ValueError("odd"))
    assert found == [(numbers, False, "timing the vectorized trials failed: odd", 0) for numbers in ALONE]
    with pytest.raises(torch.AcceleratorError):
        groups_of("auto", torch.AcceleratorError("CUDA error"))


def test_trials_left_when_no_two_fit_any_more_train_one_by_one(groups_of):
    found = groups_of("auto", job.Decision(2, "it pays"), room=[2, 0])
    too_large = "the device has too little memory for several trials"
    assert found == [([0, 1], True, "it pays", 0), *(([n], False, too_large, 0) for n in (2, 3, 4))]


# ---------------------------------------------------------------------------------------------------------------------
# What ends a job


def test_a_sweep_whose_gpu_stops_gives_up_only_trials_that_have_been_tried_twice():
    noted = []
    trials = {
        n: TrialRecord(n, 0, {}, None, 1, "", status="started", num_starts=starts) for n, starts in ((1, 1), (2, 2))
    }
    trials[3] = TrialRecord(3, 0, {}, None, 1, "", status="finished", num_starts=2)
    journal = SimpleNamespace(refresh=lambda: None, trials=trials, append=lambda events: noted.extend(events))
    folder = SimpleNamespace(path=Path.cwd() / "out puts/it", config=runner.compose([]))
    main = {"pid": os.getpid(), "host": socket.gethostname()}
    with pytest.raises(DeviceFault) as raised:
        job._leave(torch.AcceleratorError("CUDA error: no\nmore"), trials.values(), journal, main, folder)
    assert str(raised.value) == (
        "the GPU stopped in trial 1, 2 (CUDA error: no), and takes no more from this process; "
        "runner resume 'out puts/it'"
    )
    assert [(event["trial"], event["event"]) for event in noted] == [(2, "failed")]


def test_images_that_were_seen_are_noted_for_other_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_checked", set())
    folder = SweepFolder.create(make_folder(tmp_path, "it"), "it", [], 0, {})
    locks = []
    lock = job.files.make_lock
    monkeypatch.setattr(job.files, "make_lock", lambda path: locks.append(path) or lock(path))

    def check(fingerprint, accept=False):
        dataset = SimpleNamespace(identity={"kind": "folder"}, fingerprint={"train": fingerprint})
        job._check_images(folder, dataset, accept)
        return json.loads((folder.path / "images.json").read_text())["data_sets"]

    assert check("aaaa") == {"{'kind': 'folder'}": {"train": "aaaa"}}
    assert check("aaaa") == {"{'kind': 'folder'}": {"train": "aaaa"}}
    assert len(locks) == 1, "this process knows them"
    job._checked.clear()
    with pytest.raises(ImagesChanged, match=r"^data: .* since the sweep began; put it back, or resume with --accept"):
        check("bbbb")
    assert check("bbbb", accept=True) == {"{'kind': 'folder'}": {"train": "bbbb"}}
    job._checked.clear()
    (folder.path / "images.json").write_text('{"data_sets": 3}')
    assert check("cccc") == {"{'kind': 'folder'}": {"train": "cccc"}}
    folder.unlock()
